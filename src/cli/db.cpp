#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/copies.hpp"
#include "engine/merge.hpp"
#include "engine/quiet.hpp"
#include "util/files.hpp"
#include "util/quantity.hpp"
#include "workspace/layout.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace mlops::cli {

namespace {

struct DbOptions {
  std::string file;
  int keep = 7;
  bool list = false;
  bool dry_run = false;
  bool json = false;
};

nlohmann::json file_json(const std::string& path) {
  return {{"file", util::absolute_path(path)}, {"bytes", util::file_size(path)}};
}

void require_whole(const std::string& path, const char* attempt) {
  const std::vector<std::string> damage = db::find_damage(path);
  if (!damage.empty())
    throw Error(ExitCode::io,
                std::string("cannot ") + attempt + " '" + path + "': it is damaged: " + damage.front(),
                "`mlops db snapshot --list` shows older copies; `mlops fsck` tells what is lost");
}

void backup(const DbOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  require_whole(open.workspace.database_path(), "back up");
  db::copy_database(open.database.connection(), options.file);
  if (options.json) return print_json(file_json(options.file));
  std::printf("wrote %s, %s\n", shown(options.file).c_str(),
              util::format_size(util::file_size(options.file)).c_str());
}

// --- Snapshots
// ------------------------------------------------------------------------------------------------

// Oldest first: their names are times.
std::vector<std::string> snapshots_of(const Workspace& workspace) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(
           layout::in(workspace.state_directory(), layout::snapshots), error)) {
    if (entry.path().extension() == ".db") paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

void list_snapshots(const DbOptions& options, const Context& context) {
  const Workspace workspace = Workspace::require(".", context.workspace);
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& path : snapshots_of(workspace)) {
    list.push_back(file_json(path));
    if (!options.json)
      std::printf("%s  %s\n", shown(workspace.relative(path)).c_str(),
                  util::format_size(util::file_size(path)).c_str());
  }
  if (options.json) return print_json({{"snapshots", std::move(list)}});
  if (list.empty()) std::fprintf(stderr, "there are none; make one: mlops db snapshot\n");
}

void snapshot(const DbOptions& options, const Context& context) {
  if (options.list) return list_snapshots(options, context);
  OpenWorkspace open = open_to_write(context);
  require_whole(open.workspace.database_path(), "copy");
  const std::string directory = layout::in(open.workspace.state_directory(), layout::snapshots);
  util::make_directories(directory);
  const std::string path = directory + "/" + db::time_in_name() + ".db";
  db::copy_database(open.database.connection(), path);
  // Where the clock was set back, the new one does not come last.
  std::vector<std::string> others = snapshots_of(open.workspace);
  std::erase(others, path);
  nlohmann::json removed = nlohmann::json::array();
  for (std::size_t i = 0; i + static_cast<std::size_t>(options.keep - 1) < others.size(); ++i) {
    ::unlink(others[i].c_str());
    removed.push_back(others[i]);
  }
  if (options.json) {
    nlohmann::json json = file_json(path);
    json["removed"] = std::move(removed);
    return print_json(json);
  }
  std::printf("wrote %s, %s", shown(open.workspace.relative(path)).c_str(),
              util::format_size(util::file_size(path)).c_str());
  std::printf(removed.empty() ? "\n" : "; removed %s\n", counted(removed.size(), "older one").c_str());
}

// --- Restoring
// ------------------------------------------------------------------------------------------------

std::string chosen_copy(const DbOptions& options, const Workspace& workspace) {
  if (options.file != "latest") return options.file;
  const std::vector<std::string> all = snapshots_of(workspace);
  if (all.empty())
    throw Error(ExitCode::usage, "there is no snapshot in this workspace",
                "name a file that `mlops db backup` wrote");
  return all.back();
}

void restore(const DbOptions& options, const Context& context) {
  const Workspace workspace = Workspace::require(".", context.workspace);
  workspace.check_owner();
  const std::string copy = chosen_copy(options, workspace);
  require_whole(copy, "restore");
  engine::require_quiet(workspace, "restore");
  const std::string path = workspace.database_path();
  const std::string fresh = path + ".restored", aside = path + ".replaced-" + db::time_in_name();
  ::unlink(fresh.c_str());
  db::copy_database(copy, fresh);
  db::Database::open(fresh);  // of an earlier version, perhaps, or of a later one, which is refused
  const bool had_one = util::exists(path);
  db::replace_database(path, fresh, aside);
  for (const char* part : {"-wal", "-shm", ".lock"}) ::unlink((fresh + part).c_str());
  db::Database database = db::Database::open(path);
  db::Statement runs = database.connection().prepare("SELECT count(*), max(created_at) FROM runs");
  runs.step();
  if (options.json)
    return print_json({{"restored", util::absolute_path(copy)},
                       {"runs", runs.integer(0)},
                       {"aside", had_one ? nlohmann::json(aside) : nlohmann::json(nullptr)}});
  std::printf("restored %s: %s%s\n", shown(copy).c_str(),
              counted(static_cast<std::uint64_t>(runs.integer(0)), "run").c_str(),
              runs.is_null(1) ? "" : (", the last of " + runs.text(1)).c_str());
  if (had_one) std::printf("what was there is now %s\n", shown(workspace.relative(aside)).c_str());
  std::printf("runs that began later still have their directories: mlops fsck --repair\n");
}

// --- Merging
// --------------------------------------------------------------------------------------------------

void merge(const DbOptions& options, Context& context) {
  OpenWorkspace open = options.dry_run ? open_to_read(context) : open_to_write(context);
  const engine::MergeReport report =
      engine::merge(open.workspace, open.database, options.file, options.dry_run);
  if (!report.problems.empty()) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (options.json)
    return print_json({{"added", report.added},
                       {"updated", report.updated},
                       {"known", report.known},
                       {"unfinished", report.unfinished},
                       {"logs", report.logs},
                       {"problems", report.problems},
                       {"dry_run", options.dry_run}});
  std::printf("%s%s of %s: %s, %llu updated, %llu known already\n",
              options.dry_run ? "would merge " : "merged ",
              counted(report.added + report.updated, "run").c_str(), shown(options.file).c_str(),
              (std::to_string(report.added) + " added").c_str(),
              static_cast<unsigned long long>(report.updated), static_cast<unsigned long long>(report.known));
  if (report.unfinished > 0)
    std::printf("left out, as they have not ended there: %s\n", counted(report.unfinished, "run").c_str());
  for (const std::string& problem : report.problems)
    std::fprintf(stderr, "mlops: not taken: %s\n", problem.c_str());
}

}  // namespace

void set_up_db(CLI::App& app, Context& context) {
  auto options = std::make_shared<DbOptions>();
  app.require_subcommand(1);
  auto* backup_command = app.add_subcommand("backup", "write a copy to a file, while others go on");
  backup_command->add_option("FILE", options->file, "a new file")->required();
  auto* snapshot_command =
      app.add_subcommand("snapshot", "keep a copy in .mlops/snapshots, and the newest of before");
  snapshot_command->add_option("--keep", options->keep, "how many to keep (default 7)")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000));
  snapshot_command->add_flag("--list", options->list, "show them");
  auto* restore_command =
      app.add_subcommand("restore", "put a copy in the place of the database, which is set aside");
  restore_command->add_option("FILE", options->file, "a copy, or latest: the newest snapshot")->required();
  auto* merge_command = app.add_subcommand("merge", "take over the runs of another workspace, or of a copy");
  merge_command->add_option("SOURCE", options->file, "a workspace, or a database")->required();
  merge_command->add_flag("-n,--dry-run", options->dry_run, "only say what would be taken");
  for (CLI::App* command : {backup_command, snapshot_command, restore_command, merge_command})
    command->add_flag("--json", options->json, "print JSON");
  app.footer(
      "The database is where runs, slots and requests are on record; logs and contents lie beside it in "
      ".mlops.\n"
      "Examples:\n  mlops db backup /backup/churn.db\n  mlops db snapshot --keep 14\n  mlops db restore "
      "latest\n"
      "  mlops db merge /mnt/ci/workspace");
  backup_command->footer("Examples:\n  mlops db backup /backup/churn-$(date +%F).db");
  snapshot_command->footer(
      "Examples:\n  mlops db snapshot\n  mlops db snapshot --list\nCrontab line:\n"
      "  30 2 * * *  cd /srv/churn && mlops db snapshot --keep 14 > /dev/null");
  restore_command->footer(
      "Nothing may run meanwhile. What was there stays beside it as mlops.db.replaced-TIME.\n"
      "Examples:\n  mlops db restore latest\n  mlops db restore /backup/churn-2026-03-01.db");
  merge_command->footer(
      "Runs are known by their ids: the same again changes nothing. Of a workspace logs are copied as well; "
      "contents\n"
      "are not, mlops push and pull do that. Schedules, queues and triggers stay where they are.\n"
      "Exits with 3 if records were not taken.\n"
      "Examples:\n  mlops db merge /mnt/ci/workspace --dry-run\n  mlops db merge old.db");
  backup_command->callback([options, &context] { backup(*options, context); });
  snapshot_command->callback([options, &context] { snapshot(*options, context); });
  restore_command->callback([options, &context] { restore(*options, context); });
  merge_command->callback([options, &context] { merge(*options, context); });
}

}  // namespace mlops::cli
