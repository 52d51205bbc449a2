#include "cli/context.hpp"

#include "db/runs.hpp"
#include "engine/recovery.hpp"
#include "engine/run_bell.hpp"
#include "notify/delivery.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::cli {

namespace {

// Where nothing can be written their record stays as it was.
void warn_of_dead_runs(const Workspace& workspace, db::Database& database) {
  if (database.writable()) return;
  db::RunFilter filter;
  filter.state = RunState::running;
  filter.limit = 0;
  for (const RunRecord& run : db::list_runs(database.connection(), filter)) {
    if (engine::liveness(workspace, run.id) != engine::Liveness::dead) continue;
    util::log_warning("run " + run.id + " has ended, which cannot be recorded here: it is shown as running");
  }
}

// Who is told how runs end is told of these, too, without being waited for.
void recover(const Workspace& workspace, db::Database& database) {
  if (engine::recover_all(workspace, database).empty()) return;
  for (const std::string& problem : notify::deliver_at_end(workspace, {}, 0)) util::log_warning(problem);
}

}  // namespace

void require_database(const Workspace& workspace) {
  workspace.require_access();
  if (engine::database_is_lost(workspace)) {
    throw Error(
        ExitCode::io,
        "the database '" + workspace.database_path() + "' is gone, though runs have their directories",
        "put a backup in its place, or `mlops fsck --rebuild`: makes it anew from the directories of runs");
  }
}

OpenWorkspace open_to_read(const Context& context) {
  util::set_up_log(context.verbose);
  Workspace workspace = Workspace::require(".", context.workspace);
  require_database(workspace);
  if (!util::exists(workspace.database_path())) return {std::move(workspace), db::Database::empty()};
  const auto access = workspace.trusted() ? db::Access::write : db::Access::read_only;
  db::Database database = db::Database::open_to_read(workspace.database_path(), access);
  if (database.stale()) {
    util::log_warning(
        "the workspace cannot be written to, and changes that its database has not taken in yet cannot be "
        "read: what follows may be out of date");
  } else {
    engine::warn_of_forgotten_run(workspace, database.connection());
  }
  recover(workspace, database);
  warn_of_dead_runs(workspace, database);
  return {std::move(workspace), std::move(database)};
}

OpenWorkspace open_to_write(const Context& context) {
  util::set_up_log(context.verbose);
  Workspace workspace = Workspace::require(".", context.workspace);
  workspace.check_owner();
  require_database(workspace);
  db::Database database = db::Database::open_existing(workspace.database_path());
  engine::warn_of_forgotten_run(workspace, database.connection());
  recover(workspace, database);
  return {std::move(workspace), std::move(database)};
}

std::string find_run_id(OpenWorkspace& open, const std::string& name) {
  db::Connection& connection = open.database.connection();
  if (name == "latest" || name.starts_with("latest:")) {
    const std::string pipeline = name == "latest" ? "" : name.substr(7);
    if (const auto id = db::latest_run(connection, pipeline, std::nullopt)) return *id;
    if (pipeline.empty()) throw Error(ExitCode::usage, "there are no runs yet", "start one: mlops run FILE");
    throw Error(ExitCode::usage, "pipeline '" + pipeline + "' has no runs",
                util::did_you_mean(pipeline, db::pipeline_names(connection)));
  }
  std::string text = name;
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto ids = text.empty() ? std::vector<std::string>() : db::match_ids(connection, text, 6);
  if (ids.size() == 1 || (!ids.empty() && ids[0] == text)) return ids[0];
  if (ids.empty()) {
    throw Error(ExitCode::usage, "there is no run '" + name + "'",
                "`mlops runs` lists them; RUN may be an id, a unique beginning or end of one, latest or "
                "latest:PIPELINE");
  }
  throw Error(
      ExitCode::usage, "'" + name + "' fits several runs",
      util::join(std::vector<std::string>(
                     ids.begin(), ids.begin() + static_cast<long>(std::min<std::size_t>(ids.size(), 5))),
                 ", ") +
          (ids.size() > 5 ? ", …" : "") + "; the last characters of an id tell runs apart best");
}

void add_set_option(CLI::App& app, std::vector<std::string>& overrides, const std::string& help) {
  // One value each: a pipeline file after it is not another param.
  app.add_option("-s,--set", overrides, help)->type_name("KEY=VALUE")->take_all()->expected(1);
}

}  // namespace mlops::cli
