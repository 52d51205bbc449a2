#include "engine/removal.hpp"

#include <mlops/error.hpp>

#include "db/datasets.hpp"
#include "engine/kept_record.hpp"
#include "engine/recovery.hpp"
#include "process/lock_file.hpp"
#include "workspace/ballast.hpp"
#include "workspace/layout.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

namespace mlops::engine {

namespace {

using process::LockFile;

constexpr int batch = 100;  // one commit and so many locks at a time

enum class Found { none, link, directory };

Found entry_at(const std::string& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return Found::none;
    throw_errno("cannot look at '" + path + "'", errno);
  }
  // Whatever else lies there is unlinked as a link is: without a look at what is behind it.
  return S_ISDIR(st.st_mode) ? Found::directory : Found::link;
}

[[noreturn]] void refuse(const std::string& id) {
  throw Error(ExitCode::busy, "cannot delete run " + id + ": it is running",
              "end it first: mlops cancel " + id);
}

bool runs_now(const Workspace& workspace, const std::string& id) {
  return entry_at(workspace.run_directory(id)) == Found::directory &&
         liveness(workspace, id) != Liveness::dead;
}

// Keeps a resume out as long as it is held; none where there is no directory to lock.
std::optional<LockFile> lock_run(const Workspace& workspace, const std::string& id) {
  const std::string directory = workspace.run_directory(id);
  if (entry_at(directory) != Found::directory) return std::nullopt;
  const std::string path = layout::in(directory, layout::runner_lock);
  struct stat st {};
  // Taking a lock writes to the file: not to one elsewhere.
  if (::lstat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    throw Error(ExitCode::io, "cannot lock run " + id + ": '" + path + "' is no regular file", "remove it");
  }
  auto lock = LockFile::try_lock(path);
  if (!lock || LockFile::is_locked(layout::in(directory, layout::keeper_lock))) refuse(id);
  return lock;
}

void delete_directory(const std::string& path) {
  std::error_code error;
  switch (entry_at(path)) {
    case Found::none: return;
    case Found::link: std::filesystem::remove(path, error); break;
    case Found::directory: std::filesystem::remove_all(path, error); break;
  }
  if (error) throw Error(ExitCode::io, "cannot delete '" + path + "': " + error.message());
}

void remove_batch(const Workspace& workspace, db::Database& database, const std::vector<std::string>& ids,
                  const std::function<void(const std::string&)>& on_run) {
  std::vector<std::optional<LockFile>> locks;
  for (const std::string& id : ids) locks.push_back(lock_run(workspace, id));
  // First the rows: a directory without one is harmless, once it is noted that it is to go.
  try {
    note_removal(workspace, ids);
  } catch (const Error&) {
    // To make room on a full disk takes some.
    if (!workspace::drop_ballast(workspace)) throw;
    note_removal(workspace, ids);
  }
  db::Transaction transaction(database, db::Durability::full);
  std::set<std::string> heirs;
  for (const std::string& id : ids) heirs.merge(db::delete_run(database.connection(), id));
  // Before the rows are gone: whoever dies in between has left a record that is not less than the truth.
  for (const std::string& heir : heirs) {
    if (db::run_exists(database.connection(), heir)) keep_record(workspace, database.connection(), heir);
  }
  transaction.commit();
  for (const std::string& id : ids) {
    delete_directory(workspace.run_directory(id));
    on_run(id);
  }
}

std::vector<std::string> without_repetitions(const std::vector<std::string>& ids) {
  std::vector<std::string> once;
  std::set<std::string> seen;
  for (const std::string& id : ids) {
    if (seen.insert(id).second) once.push_back(id);
  }
  return once;
}

void remove_some(const Workspace& workspace, db::Database& database, const std::vector<std::string>& ids,
                 bool dry_run, const std::function<void(const std::string&)>& on_run) {
  if (!dry_run) return remove_batch(workspace, database, ids, on_run);
  for (const std::string& id : ids) on_run(id);
}

}  // namespace

void remove_runs(const Workspace& workspace, db::Database& database, const RemovalRequest& request,
                 const std::function<void(const std::string&)>& on_run) {
  if (!request.dry_run) workspace.check_owner();
  const std::vector<std::string> named = without_repetitions(request.runs);
  for (const std::string& id : named) {
    if (runs_now(workspace, id)) refuse(id);
    if (!request.force && db::pin_of_run(database.connection(), id)) {
      throw Error(ExitCode::gate_refused, "will not delete run " + id + ": it is pinned",
                  "unpin it first: mlops unpin " + id + "; or use --force");
    }
  }
  for (std::size_t i = 0; i < named.size(); i += batch) {
    const auto begin = named.begin() + static_cast<std::ptrdiff_t>(i);
    const std::size_t count = std::min<std::size_t>(batch, named.size() - i);
    remove_some(workspace, database, {begin, begin + static_cast<std::ptrdiff_t>(count)}, request.dry_run,
                on_run);
  }
  if (!request.pruning) return;
  const std::set<std::string> done(named.begin(), named.end());
  std::string below;
  while (true) {
    std::vector<std::string> ids = db::ids_to_prune(database.connection(), *request.pruning, below, batch);
    if (ids.empty()) return;
    below = ids.back();
    // One that was resumed a moment ago is no longer old.
    std::erase_if(ids, [&](const std::string& id) { return done.contains(id) || runs_now(workspace, id); });
    remove_some(workspace, database, ids, request.dry_run, on_run);
  }
}

db::OldRows remove_old_rows(const Workspace& workspace, db::Database& database,
                            const db::Retention& retention, bool dry_run) {
  if (dry_run) return db::count_old(database.connection(), retention);
  workspace.check_owner();
  constexpr int rows = 1'000;  // some milliseconds, in which nobody else can write
  db::OldRows all, some;
  do {
    db::Transaction transaction(database, db::Durability::full);
    some = db::delete_old(database.connection(), retention, rows);
    transaction.commit();
    all.slots += some.slots;
    all.requests += some.requests;
  } while (some.slots + some.requests > 0);
  return all;
}

}  // namespace mlops::engine
