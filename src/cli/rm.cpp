#include "cli/context.hpp"
#include "cli/output.hpp"
#include "engine/removal.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"
#include "workspace/config.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

struct RmOptions {
  std::vector<std::string> runs;
  std::string older_than;
  std::string pipeline;
  int keep = -1;
  bool force = false;
  bool dry_run = false;
  bool json = false;
};

engine::RemovalRequest request_of(const RmOptions& options, OpenWorkspace& open) {
  engine::RemovalRequest request;
  request.dry_run = options.dry_run;
  request.force = options.force;
  for (const std::string& name : options.runs) request.runs.push_back(find_run_id(open, name));
  if (options.older_than.empty() && options.keep < 0) return request;
  db::Pruning pruning;
  pruning.pipeline = options.pipeline;
  pruning.keep = std::max(0, options.keep);
  if (!options.older_than.empty()) {
    const auto age = util::parse_duration(options.older_than);
    const bool unit = options.older_than.find_first_not_of("0123456789.") != std::string::npos;
    if (!age || !unit) {
      throw Error(ExitCode::usage, "cannot read the age '" + options.older_than + "'",
                  "give a duration with its unit, such as 30d or 12h");
    }
    pruning.before = util::now() - *age;
  }
  request.pruning = pruning;
  return request;
}

// The rate of a queue counts what was begun within its period.
db::Retention retention_of(const RmOptions& options, Instant before, const Workspace& workspace) {
  db::Retention retention{before, options.pipeline, before};
  for (const workspace::QueueConfig& queue : workspace::read_config(workspace).queues) {
    if (queue.rate)
      retention.claimed_before = std::min(retention.claimed_before, util::now() - queue.rate->period);
  }
  return retention;
}

void tell_of_rows(const db::OldRows& rows, bool dry_run) {
  if (rows.slots + rows.requests == 0) return;
  std::printf("%s the records of %s and %s\n", dry_run ? "would delete" : "deleted",
              counted(static_cast<std::uint64_t>(rows.slots), "slot").c_str(),
              counted(static_cast<std::uint64_t>(rows.requests), "request").c_str());
}

void remove(const RmOptions& options, Context& context) {
  if (options.runs.empty() && options.older_than.empty() && options.keep < 0) {
    throw Error(ExitCode::usage, "nothing to delete was named",
                "mlops rm RUN…, or mlops rm --older-than 30d, or mlops rm --keep 100");
  }
  if (!options.runs.empty() &&
      (!options.older_than.empty() || options.keep >= 0 || !options.pipeline.empty())) {
    throw Error(ExitCode::usage, "RUN and --older-than, --keep or --pipeline cannot be told together",
                "name the runs, or let the options choose them");
  }
  OpenWorkspace open = options.dry_run ? open_to_read(context) : open_to_write(context);
  nlohmann::json list = nlohmann::json::array();
  bool any = false;
  const engine::RemovalRequest request = request_of(options, open);
  engine::remove_runs(open.workspace, open.database, request, [&](const std::string& id) {
    any = true;
    if (options.json) {
      list.push_back(id);
    } else {
      std::printf("%s %s\n", options.dry_run ? "would delete" : "deleted", id.c_str());
    }
  });
  db::OldRows rows;
  if (request.pruning && request.pruning->before)
    rows = engine::remove_old_rows(open.workspace, open.database,
                                   retention_of(options, *request.pruning->before, open.workspace),
                                   options.dry_run);
  if (options.json) {
    print_json({{"deleted", std::move(list)},
                {"slots", rows.slots},
                {"requests", rows.requests},
                {"dry_run", options.dry_run}});
  } else {
    tell_of_rows(rows, options.dry_run);
    if (!any && rows.slots + rows.requests == 0) std::printf("nothing to delete\n");
  }
}

}  // namespace

void set_up_rm(CLI::App& app, Context& context) {
  auto options = std::make_shared<RmOptions>();
  app.add_option("RUN", options->runs, "runs to delete, with their logs; files that steps made stay");
  app.add_option("--older-than", options->older_than, "all that were started longer ago, e.g. 30d")
      ->type_name("AGE");
  app.add_option("--keep", options->keep, "all but the newest N")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000'000));
  app.add_option("-p,--pipeline", options->pipeline,
                 "with --older-than or --keep: only runs of this pipeline")
      ->type_name("NAME");
  app.add_flag("--force", options->force, "also pinned runs that are named");
  app.add_flag("-n,--dry-run", options->dry_run, "only say what would be deleted");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "With both --older-than and --keep, a run must meet both. Running and pinned runs are kept. "
      "--older-than also\n"
      "deletes what is on record of slots and requests of which no run is left.\n"
      "Examples:\n  mlops rm 7k2m\n  mlops rm --older-than 30d --keep 10 --pipeline churn --dry-run");
  app.callback([options, &context] { remove(*options, context); });
}

}  // namespace mlops::cli
