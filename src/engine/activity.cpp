#include "engine/activity.hpp"

#include "db/runs.hpp"
#include "db/steps.hpp"

namespace mlops::engine {

namespace {

void count(ActiveRun& active, const StepRecord& step) {
  switch (step.state) {
    case StepState::running:
    case StepState::retrying: active.running.push_back(step); break;
    case StepState::succeeded:
    case StepState::cached:
    case StepState::failed:
    case StepState::skipped: ++active.steps_done; break;
    case StepState::pending:
    case StepState::lost:
    case StepState::interrupted:
    case StepState::not_run:
    case StepState::cancelled: break;
  }
}

}  // namespace

std::vector<ActiveRun> active_runs(const Workspace& workspace, db::Database& database) {
  db::Connection& connection = database.connection();
  db::RunFilter filter;
  filter.state = RunState::running;
  filter.limit = 0;
  std::vector<ActiveRun> runs;
  for (RunRecord& run : db::list_runs(connection, filter)) {
    ActiveRun active;
    active.alive = liveness(workspace, run.id);
    for (const StepRecord& step : db::steps_of(connection, run.id)) count(active, step);
    active.run = std::move(run);
    runs.push_back(std::move(active));
  }
  return runs;
}

}  // namespace mlops::engine
