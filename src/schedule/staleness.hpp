// Whether somebody looks after the schedules, and whether what they promise is kept: for who asks from
// outside, as the scheduler itself may have stopped.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "engine/health.hpp"
#include "schedule/standings.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

struct Stale {
  enum class Kind { slots, file, promise };  ///< not looked at, not readable, not kept
  Kind kind = Kind::slots;
  ScheduleRecord record;
  std::string words;
  std::string advice;
  bool ahead = false;  ///< of a promise: it can still be kept, if somebody sees to it
};
const char* to_string(Stale::Kind kind);

/// Of schedules that are served, those with slots that were due more than `grace` ago and that nobody has
/// looked at, or with a file that cannot be read; of all, promises that are not kept or will not be.
std::vector<Stale> stale_schedules(const Workspace& workspace, db::Connection& connection, sys_seconds now,
                                   std::chrono::seconds grace);

/// What `mlops doctor` says of schedules; nothing where there are none or no database can be read.
std::vector<engine::Finding> examine(const std::optional<Workspace>& workspace);

}  // namespace mlops::schedule
