#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/slots.hpp"
#include "engine/activity.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

const char* word(engine::Liveness alive) {
  switch (alive) {
    case engine::Liveness::running: return "running";
    case engine::Liveness::orphaned: return "orphaned";
    case engine::Liveness::dead: break;
  }
  return "dead";
}

nlohmann::json active_json(const engine::ActiveRun& active) {
  nlohmann::json entry = to_json(active.run);
  entry["alive"] = word(active.alive);
  entry["runner_pid"] = active.run.runner_pid;
  entry["steps_done"] = active.steps_done;
  entry["running"] = nlohmann::json::array();
  for (const StepRecord& step : active.running) entry["running"].push_back(to_json(step));
  return entry;
}

void print(const engine::ActiveRun& active, const Style& style, Instant now) {
  const RunRecord& run = active.run;
  std::printf("%s  %s  %d of %d steps done, for %s, process %d on %s\n",
              style.bold(shown(run.pipeline)).c_str(), run.id.c_str(), active.steps_done, run.steps,
              util::format_duration(now - run.created_at).c_str(), run.runner_pid, run.host.c_str());
  if (active.alive == engine::Liveness::orphaned) {
    const std::string advice =
        "its runner died; what its keeper still runs goes on: mlops run --resume " + run.id;
    std::printf("  %s\n", style.warn(advice).c_str());
  }
  for (const StepRecord& step : active.running) {
    const std::string since = step.started_at ? util::format_duration(now - *step.started_at) : "";
    std::string what;
    if (step.state == StepState::retrying) {
      what = " waits to try again: " + shown(step.reason);
    } else if (step.attempts > 1) {
      what = " attempt " + std::to_string(step.attempts);
    }
    std::printf("  %s %s%s\n", style.accent(shown(step.name)).c_str(), since.c_str(), what.c_str());
  }
}

void status(bool json, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const auto runs = engine::active_runs(open.workspace, open.database);
  const auto promises =
      schedule::promises_of(open.workspace, open.database.connection(), calendar::now_seconds());
  if (json) {
    nlohmann::json list = nlohmann::json::array(), promised = list;
    for (const engine::ActiveRun& active : runs) list.push_back(active_json(active));
    for (const schedule::Promise& promise : promises) {
      promised.push_back(to_json(promise.standing));
      promised.back()["pipeline"] = promise.record.pipeline;
      promised.back()["schedule"] = promise.record.name;
    }
    return print_json(
        {{"workspace", open.workspace.root()}, {"runs", std::move(list)}, {"promises", std::move(promised)}});
  }
  const Style style = style_of(stdout);
  for (const engine::ActiveRun& active : runs) print(active, style, util::now());
  if (runs.empty()) std::printf("nothing is running in %s\n", shown(open.workspace.root()).c_str());
  for (const schedule::Promise& promise : promises) {
    if (promise.standing.state != schedule::Standing::State::kept && !promise.standing.made_up)
      print_promise(promise);
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
