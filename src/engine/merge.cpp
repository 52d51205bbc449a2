#include "engine/merge.hpp"

#include <mlops/error.hpp>

#include "db/bundles.hpp"
#include "db/copies.hpp"
#include "db/runs.hpp"
#include "engine/run_record.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <unistd.h>

#include <filesystem>
#include <optional>

namespace mlops::engine {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t batch = 200;  // runs in one transaction

// Where things are: `source` is a database, a workspace, or the directory that holds one.
struct Source {
  std::string database;
  std::string runs;  // empty: there are no directories
};

Source look_for(const std::string& given, const Workspace& workspace) {
  for (const std::string& state : {given, given + "/" + layout::state_directory}) {
    const std::string database = layout::in(state, layout::database);
    if (!util::exists(database)) continue;
    std::error_code error;
    if (fs::equivalent(database, workspace.database_path(), error))
      throw Error(ExitCode::usage, "cannot merge '" + given + "' with itself",
                  "name another workspace, or its database");
    return {database, layout::in(state, layout::runs)};
  }
  if (!util::exists(given)) throw Error(ExitCode::usage, "there is no '" + given + "'");
  if (util::is_directory(given))
    throw Error(ExitCode::usage,
                "'" + given + "' is no workspace: there is no mlops.db in it or in its .mlops");
  return {given, ""};
}

// A copy that may be brought up to this version; gone at the end.
class Copy {
 public:
  Copy(const Workspace& workspace, const std::string& of)
      : path_(workspace.state_directory() + "/merge." + std::to_string(::getpid()) + ".db") {
    remove();
    db::copy_database(of, path_);
  }
  ~Copy() { remove(); }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  const std::string& path() const { return path_; }

 private:
  void remove() const {
    for (const char* part : {"", "-wal", "-shm", ".lock", ".partial"}) ::unlink((path_ + part).c_str());
  }
  std::string path_;
};

class Merger {
 public:
  Merger(const Workspace& workspace, db::Database& database, db::Connection& from, std::string runs,
         bool dry_run)
      : workspace_(workspace), database_(database), from_(from), runs_(std::move(runs)), dry_run_(dry_run) {}

  MergeReport take_all() {
    std::vector<std::string> ids;
    db::for_each_id(from_, {.pipeline = {}, .state = {}, .since = {}, .limit = 0},
                    [&](const std::string& id, RunState) { ids.push_back(id); });
    for (std::size_t i = 0; i < ids.size(); i += batch) {
      std::vector<std::string> taken;
      std::optional<db::Transaction> transaction;
      if (!dry_run_) transaction.emplace(database_, db::Durability::full);
      for (std::size_t k = i; k < std::min(ids.size(), i + batch); ++k) {
        if (take(ids[k])) taken.push_back(ids[k]);
      }
      if (transaction) transaction->commit();
      for (const std::string& id : taken) copy_directory(id);
    }
    return std::move(report_);
  }

 private:
  bool take(const std::string& id) {
    const auto there = db::find_run(from_, id);
    const auto here = db::find_run(database_.connection(), id);
    if (!there || there->state == RunState::running) {
      ++report_.unfinished;
      return false;
    }
    if (here && (here->state == RunState::running || here->resumes >= there->resumes)) {
      ++report_.known;
      return true;  // its directory may be missing
    }
    try {
      // What comes from elsewhere is checked as a record from a remote is.
      const db::RunBundle bundle = read_run_record(write_run_record(db::read_bundle(from_, id).value()), id);
      if (!dry_run_) db::write_bundle(database_.connection(), bundle);
    } catch (const Error& error) {
      report_.problems.push_back("run " + id + ": " + error.what());
      return false;
    }
    ++(here ? report_.updated : report_.added);
    return true;
  }

  // Under another name until it is whole.
  void copy_directory(const std::string& id) {
    if (runs_.empty() || !util::is_id(id)) return;
    const std::string from = runs_ + "/" + id, to = workspace_.run_directory(id);
    if (util::exists(to) || !util::is_directory(from)) return;
    ++report_.logs;
    if (dry_run_) return;
    const std::string partial = to + ".partial";
    std::error_code error;
    fs::remove_all(partial, error);
    util::make_directories(fs::path(to).parent_path().string());
    fs::copy(from, partial, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
    if (!error) fs::rename(partial, to, error);
    if (!error) return;
    --report_.logs;
    report_.problems.push_back("logs of run " + id + ": " + error.message());
    fs::remove_all(partial, error);
  }

  const Workspace& workspace_;
  db::Database& database_;
  db::Connection& from_;
  std::string runs_;
  bool dry_run_;
  MergeReport report_;
};

}  // namespace

MergeReport merge(const Workspace& workspace, db::Database& database, const std::string& source,
                  bool dry_run) {
  const Source found = look_for(source, workspace);
  const std::vector<std::string> damage = db::find_damage(found.database);
  if (!damage.empty())
    throw Error(ExitCode::io, "cannot merge '" + found.database + "': it is damaged: " + damage.front(),
                "mend it where it is with `mlops fsck`, or take a backup of it");
  const Copy copy(workspace, found.database);
  db::Database from = db::Database::open(copy.path());
  return Merger(workspace, database, from.connection(), found.runs, dry_run).take_all();
}

}  // namespace mlops::engine
