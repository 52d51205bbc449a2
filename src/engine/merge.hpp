// The history of another workspace, brought into this one.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace mlops::engine {

struct MergeReport {
  std::uint64_t added = 0, updated = 0, known = 0, unfinished = 0;  ///< runs
  std::uint64_t logs = 0;                                           ///< directories of runs that were copied
  std::vector<std::string> problems;                                ///< records that were not taken, in words
};

/// Takes over the runs of `source`, which is a database or a workspace, with their tags, and from a workspace
/// also their logs: those that are not here, and those that were resumed there since. A run that has not
/// ended there is left out. The same again changes nothing. Schedules, queues and triggers are not history
/// and stay apart; contents are not copied, `mlops push` and `pull` do that. `source` may be in use; it is
/// only read. Throws Error.
MergeReport merge(const Workspace& workspace, db::Database& database, const std::string& source,
                  bool dry_run);

}  // namespace mlops::engine
