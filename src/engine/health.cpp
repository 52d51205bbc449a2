#include "engine/health.hpp"

#include "db/copies.hpp"
#include "db/outbox.hpp"
#include "db/runs.hpp"
#include "engine/kept_record.hpp"
#include "engine/recovery.hpp"
#include "process/control_group.hpp"
#include "process/spawn.hpp"
#include "util/file_system.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>

namespace mlops::engine {

namespace {

using State = Finding::State;

void check_programs(std::vector<Finding>& findings) {
  const char* path = std::getenv("PATH");
  for (const auto& [program, use] :
       {std::pair{"sh", "runs the scripts of steps"}, {"git", "tells the commit of a run"}}) {
    const std::string found = process::find_program(program, path ? path : "/usr/bin:/bin", "/");
    if (!found.empty()) {
      findings.push_back({program, State::good, found, ""});
    } else {
      findings.push_back({program, std::string_view(program) == "sh" ? State::problem : State::note,
                          std::string("is not on PATH; it ") + use, std::string("install ") + program});
    }
  }
  if (process::can_make_control_groups()) {
    findings.push_back(
        {"processes", State::good, "each step has a control group, which ends as a whole", ""});
  } else {
    findings.push_back({"processes", State::note,
                        "no control group (cgroup v2) may be made here: what a step starts is ended by weak "
                        "kill, and may escape it",
                        "a service may: `mlops schedule install --systemd`"});
  }
  // A clock that is years off gives run ids that sort wrongly.
  const auto year = std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(util::now())).year();
  if (static_cast<int>(year) < 2024) {
    findings.push_back(
        {"clock", State::problem, "says it is " + util::format_utc(util::now()), "set the system clock"});
  }
}

void check_place(std::vector<Finding>& findings, const Workspace& workspace) {
  try {
    workspace.check_owner();
    findings.push_back(
        {"owner", State::good, "only its owner may write to " + workspace.state_directory(), ""});
  } catch (const Error& error) {
    findings.push_back({"owner", State::problem, error.what(), error.hint()});
  }
  const std::string network = util::network_file_system(workspace.state_directory());
  if (!network.empty()) {
    findings.push_back({"file system", State::problem,
                        ".mlops lies on " + network + ", where locks cannot be relied on",
                        "keep the workspace on a local disk: --workspace DIR or MLOPS_WORKSPACE"});
  } else {
    findings.push_back({"file system", State::good, "local", ""});
  }
  struct statvfs space {};
  if (::statvfs(workspace.state_directory().c_str(), &space) == 0) {
    const std::uint64_t free = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
    const bool little = free < (256u << 20);
    findings.push_back({"disk", little ? State::problem : State::good, util::format_size(free) + " free",
                        little ? "free some space, for example with `mlops rm --older-than 30d` and then "
                                 "`mlops store gc`, which frees what the outputs of those runs took"
                               : ""});
    const bool writable =
        (space.f_flag & ST_RDONLY) == 0 && ::access(workspace.state_directory().c_str(), W_OK) == 0;
    if (!writable) {
      findings.push_back({"writable", State::note, "the workspace is read-only here: runs cannot be started",
                          "look with runs, show, logs and sql"});
    }
  }
}

std::string pragma(db::Connection& connection, const std::string& name) {
  db::Statement row = connection.prepare("PRAGMA " + name);
  return row.step() ? row.text(0) : "";
}

void check_database(std::vector<Finding>& findings, db::Database& database) {
  db::Connection& connection = database.connection();
  const std::string check = pragma(connection, "quick_check");
  findings.push_back(
      {"database", check == "ok" ? State::good : State::broken,
       check == "ok" ? "sound, schema version " + pragma(connection, "user_version") : "damaged: " + check,
       check == "ok" ? ""
                     : "`mlops fsck` tells more; `mlops fsck --rebuild` makes it anew from what can be read "
                       "and from the directories of runs"});
  if (database.writable()) {
    const std::string mode = pragma(connection, "journal_mode");
    if (mode != "wal") {
      findings.push_back({"journal", State::problem, "the journal mode is '" + mode + "', not 'wal'",
                          "another program has changed it: mlops expects PRAGMA journal_mode = wal"});
    }
  }
  const bool serialised = db::sqlite_version() < 3051003;
  findings.push_back({"sqlite", State::good,
                      std::string(db::sqlite_version_text()) +
                          (serialised ? ": before 3.51.3, so writers take turns under mlops.db.lock" : ""),
                      ""});
}

void check_runs(std::vector<Finding>& findings, const Workspace& workspace, db::Database& database) {
  const auto recovered = recover_all(workspace, database);
  for (const std::string& id : recovered) {
    findings.push_back(
        {"run", State::note, id + " had lost its runner and was brought up to date", "mlops show " + id});
  }
  int recorded = 0, without_directory = 0;
  db::RunFilter all;
  all.limit = 0;
  db::for_each_id(database.connection(), all, [&](const std::string& id, RunState state) {
    ++recorded;
    if (!util::is_id(id)) {
      findings.push_back({"run", State::problem, "the database calls a run '" + id + "', which is no id",
                          "another program has written to mlops.db: restore it from a backup"});
      return;
    }
    if (!util::exists(workspace.run_directory(id))) ++without_directory;
    if (state == RunState::running && liveness(workspace, id) == Liveness::orphaned) {
      findings.push_back({"run", State::note, id + " has lost its runner; its keeper still runs steps",
                          "mlops run --resume " + id});
    }
  });
  int without_row = 0, ended = 0;
  const std::set<std::string> deleted = removed_runs(workspace);
  std::string example;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(workspace.state_directory() + "/" + layout::runs, error)) {
    const std::string id = entry.path().filename().string();
    const bool ours = util::is_id(id);
    if (ours && (db::run_exists(database.connection(), id) || liveness(workspace, id) != Liveness::dead))
      continue;
    ++without_row;
    const bool has_ended =
        util::exists(layout::in(entry.path().string(), layout::record)) && !deleted.contains(id);
    if (has_ended || ended == 0) example = entry.path().string();
    ended += has_ended;
  }
  if (without_row > 0) {
    findings.push_back(
        {"directories", ended == 0 ? State::note : State::problem,
         std::to_string(without_row) +
             (without_row == 1 ? " run directory is not in the database: "
                               : " run directories are not in the database, such as ") +
             example,
         ended == 0 ? "left by a run that ended before it was recorded, or by an interrupted `mlops rm`: "
                      "delete them when nobody needs their logs"
                    : "was mlops.db replaced? `mlops fsck --repair` brings them back"});
  }
  if (without_directory > 0) {
    findings.push_back(
        {"directories", State::note,
         std::to_string(without_directory) + " runs have no directory any more: their logs are gone", ""});
  }
  if (without_row == 0 && without_directory == 0) {
    findings.push_back({"runs", State::good, std::to_string(recorded) + " recorded", ""});
  }
}

// Messages about runs that have not got through.
void check_messages(std::vector<Finding>& findings, db::Database& database) {
  constexpr std::chrono::days lately{7};
  const auto failed = db::list_messages(
      database.connection(), {.state = MessageState::failed, .since = util::now() - lately, .limit = 1'000});
  const auto waiting =
      db::list_messages(database.connection(), {.state = MessageState::waiting, .since = {}, .limit = 1'000});
  const auto tried = std::ranges::count_if(waiting, [](const MessageRecord& m) { return m.attempts > 0; });
  if (!failed.empty())
    findings.push_back({"messages", State::note,
                        std::to_string(failed.size()) + " of the last week could not be delivered: " +
                            failed.front().notification + ": " + failed.front().error,
                        "mlops notify list --state failed"});
  if (tried > 0)
    findings.push_back({"messages", State::note, std::to_string(tried) + " wait to be sent again",
                        "`mlops notify list` says why; `mlops notify retry` sends them now"});
}

}  // namespace

const char* to_string(Finding::State state) {
  constexpr const char* words[] = {"ok", "note", "problem", "broken"};
  return words[static_cast<int>(state)];
}

std::vector<Finding> examine(const std::optional<Workspace>& workspace) {
  std::vector<Finding> findings;
  check_programs(findings);
  if (!workspace) {
    findings.push_back({"workspace", State::note, "there is none here or above",
                        "run a pipeline, or make one with `mlops init`"});
    return findings;
  }
  findings.push_back({"workspace", State::good, workspace->root(), ""});
  check_place(findings, *workspace);
  const std::string path = workspace->database_path();
  if (database_is_lost(*workspace)) {
    findings.push_back({"database", State::broken,
                        "it is gone, though runs have their directories in .mlops/runs",
                        "put a backup of mlops.db in its place; without one, `mlops fsck --rebuild` makes "
                        "it anew from the directories of runs"});
    return findings;
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0 && errno == ENOENT) {
    findings.push_back({"database", State::note, "there is none yet", "it is made by the first run"});
    return findings;
  }
  if (const std::string other = db::in_the_way(path); !other.empty()) {
    findings.push_back({"database", State::broken,
                        "'" + other + "' is no regular file, and the database needs one there",
                        "move it away"});
    return findings;
  }
  try {
    const auto access = workspace->trusted() ? db::Access::write : db::Access::read_only;
    db::Database database = db::Database::open_to_read(workspace->database_path(), access);
    check_database(findings, database);
    check_runs(findings, *workspace, database);
    check_messages(findings, database);
  } catch (const Error& error) {
    findings.push_back({"database", State::broken, error.what(),
                        error.hint().empty() ? "`mlops fsck` tells more" : error.hint()});
  }
  return findings;
}

}  // namespace mlops::engine
