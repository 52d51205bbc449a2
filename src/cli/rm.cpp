#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/runs.hpp"
#include "engine/recovery.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"

#include <cstdio>
#include <filesystem>

namespace mlops::cli {

namespace {

struct Options {
  std::vector<std::string> runs;
  std::string older_than;
  std::string pipeline;
  int keep = -1;
  bool dry_run = false;
  bool json = false;
};

std::vector<std::string> chosen(const Options& options, OpenWorkspace& open) {
  std::vector<std::string> ids;
  for (const std::string& name : options.runs) ids.push_back(find_run_id(open, name));
  if (options.older_than.empty() && options.keep < 0) return ids;
  std::optional<Instant> limit;
  if (!options.older_than.empty()) {
    const auto age = util::parse_duration(options.older_than);
    if (!age)
      throw Error(ExitCode::usage, "cannot read the age '" + options.older_than + "'",
                  "give a duration such as 30d");
    limit = util::now() - *age;
  }
  db::RunFilter filter;
  filter.pipeline = options.pipeline;
  filter.limit = 0;
  int seen = 0;
  for (const RunRecord& run : db::list_runs(open.database.connection(), filter)) {
    const bool kept = ++seen <= options.keep || run.state == RunState::running;
    if (!kept && (!limit || run.created_at < *limit)) ids.push_back(run.id);
  }
  return ids;
}

void remove(const Options& options, Context& context) {
  if (options.runs.empty() && options.older_than.empty() && options.keep < 0) {
    throw Error(ExitCode::usage, "nothing to delete was named",
                "mlops rm RUN…, or mlops rm --older-than 30d, or mlops rm --keep 100");
  }
  OpenWorkspace open = open_to_read(context);
  const auto ids = chosen(options, open);
  nlohmann::json list = nlohmann::json::array();
  for (const std::string& id : ids) {
    if (engine::liveness(open.workspace, id) != engine::Liveness::dead) {
      throw Error(ExitCode::busy, "cannot delete run " + id + ": it is running",
                  "end it first: mlops cancel " + id);
    }
    if (!options.dry_run) {
      // First the row: a directory without one is harmless and found by `mlops doctor`.
      db::Transaction transaction(open.database, db::Durability::full);
      db::delete_run(open.database.connection(), id);
      transaction.commit();
      std::error_code error;
      std::filesystem::remove_all(open.workspace.run_directory(id), error);
      if (error)
        throw Error(ExitCode::io,
                    "cannot delete '" + open.workspace.run_directory(id) + "': " + error.message());
    }
    list.push_back(id);
    if (!options.json) std::printf("%s %s\n", options.dry_run ? "would delete" : "deleted", id.c_str());
  }
  if (options.json) {
    print_json({{"deleted", std::move(list)}, {"dry_run", options.dry_run}});
  } else if (ids.empty()) {
    std::printf("nothing to delete\n");
  }
}

}  // namespace

void set_up_rm(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  app.add_option("RUN", options->runs, "runs to delete, with their logs; files that steps made stay");
  app.add_option("--older-than", options->older_than, "all that were started longer ago, e.g. 30d")
      ->type_name("AGE");
  app.add_option("--keep", options->keep, "all but the newest N")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  app.add_option("-p,--pipeline", options->pipeline,
                 "with --older-than or --keep: only runs of this pipeline")
      ->type_name("NAME");
  app.add_flag("-n,--dry-run", options->dry_run, "only say what would be deleted");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "With both --older-than and --keep, a run must meet both. Running runs are kept.\n"
      "Examples:\n  mlops rm 7k2m\n  mlops rm --older-than 30d --keep 10 --pipeline churn --dry-run");
  app.callback([options, &context] { remove(*options, context); });
}

}  // namespace mlops::cli
