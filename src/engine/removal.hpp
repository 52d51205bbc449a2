// Deleting runs: their rows, their logs, never the files that steps made.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "db/retention.hpp"
#include "db/runs.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

struct RemovalRequest {
  std::vector<std::string> runs;       ///< ids
  std::optional<db::Pruning> pruning;  ///< and those that are old enough
  bool force = false;                  ///< also named runs that are pinned
  bool dry_run = false;
};

/// Deletes what was asked for, and calls `on_run` for each run after it is gone (or would be). Throws
/// Error(busy) before anything is deleted if a run of `runs` is running; running runs are never old enough.
void remove_runs(const Workspace& workspace, db::Database& database, const RemovalRequest& request,
                 const std::function<void(const std::string& id)>& on_run);

/// Deletes old rows of slots and requests, or counts those that are old enough already.
db::OldRows remove_old_rows(const Workspace& workspace, db::Database& database,
                            const db::Retention& retention, bool dry_run);

}  // namespace mlops::engine
