// Ending a run from another process.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <string>

namespace mlops::engine {

struct Cancellation {
  bool now = false;  ///< kill the steps at once
  bool wait = true;  ///< until neither a runner nor a keeper works on the run
};

/// What came of it.
struct CancelResult {
  bool cancelled = false;   ///< it was asked to stop, and did not end otherwise before
  bool still_runs = false;  ///< although it was waited for
  std::string words;        ///< after "run ID"
};

/// Asks the run's runner to stop; where that is dead, its keeper. Processes that only wait for the run or
/// bring its record up to date are left alone, except a resume, which would go on with it. Throws Error(busy)
/// when the process cannot be reached from here.
CancelResult cancel_run(const Workspace& workspace, db::Database& database, const std::string& id,
                        const Cancellation& request);

}  // namespace mlops::engine
