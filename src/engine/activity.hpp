// What is running in a workspace just now.
#pragma once

#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "engine/recovery.hpp"

#include <vector>

namespace mlops::engine {

struct ActiveRun {
  RunRecord run;
  Liveness alive = Liveness::dead;
  int steps_done = 0;
  std::vector<StepRecord> running;  ///< or waiting for their next attempt
};

/// Runs that are not over, newest first.
std::vector<ActiveRun> active_runs(const Workspace& workspace, db::Database& database);

}  // namespace mlops::engine
