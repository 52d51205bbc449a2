#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/recovery.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

void status(bool json, Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  db::RunFilter filter;
  filter.state = RunState::running;
  filter.limit = 0;
  const auto runs = db::list_runs(connection, filter);
  const Style style = style_of(stdout);
  const Instant now = util::now();
  nlohmann::json list = nlohmann::json::array();
  for (const RunRecord& run : runs) {
    const engine::Liveness alive = engine::liveness(open.workspace, run.id);
    const auto steps = db::steps_of(connection, run.id);
    int done = 0;
    std::vector<const StepRecord*> running;
    for (const StepRecord& step : steps) {
      if (step.state == StepState::running || step.state == StepState::retrying) running.push_back(&step);
      if (step.state == StepState::succeeded || step.state == StepState::cached || step.state == StepState::failed ||
          step.state == StepState::skipped)
        ++done;
    }
    if (json) {
      nlohmann::json entry = to_json(run);
      entry["alive"] = alive == engine::Liveness::running    ? "running"
                       : alive == engine::Liveness::orphaned ? "orphaned"
                                                             : "dead";
      entry["runner_pid"] = run.runner_pid;
      entry["steps_done"] = done;
      entry["running"] = nlohmann::json::array();
      for (const StepRecord* step : running) entry["running"].push_back(to_json(*step));
      list.push_back(std::move(entry));
      continue;
    }
    std::printf("%s  %s  %d of %d steps done, for %s, process %d on %s\n", style.bold(run.pipeline).c_str(),
                run.id.c_str(), done, run.steps, util::format_duration(now - run.created_at).c_str(),
                run.runner_pid, run.host.c_str());
    if (alive == engine::Liveness::orphaned) {
      std::printf(
          "  %s\n",
          style.warn("its runner died; what its keeper still runs goes on: mlops run --resume " + run.id)
              .c_str());
    }
    for (const StepRecord* step : running) {
      const std::string since = step->started_at ? util::format_duration(now - *step->started_at) : "";
      std::printf("  %s %s%s\n", style.accent(util::to_utf8(step->name)).c_str(), since.c_str(),
                  step->state == StepState::retrying ? (" waits to try again: " + step->reason).c_str()
                  : step->attempts > 1               ? (" attempt " + std::to_string(step->attempts)).c_str()
                                                     : "");
    }
  }
  if (json) {
    print_json({{"workspace", open.workspace.root()}, {"runs", std::move(list)}});
  } else if (runs.empty()) {
    std::printf("nothing is running in %s\n", open.workspace.root().c_str());
  }
}

}  // namespace

void set_up_status(CLI::App& app, Context& context) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "print JSON");
  app.footer("Examples:\n  mlops status\n  mlops status --json");
  app.callback([json, &context] { status(*json, context); });
}

}  // namespace mlops::cli
