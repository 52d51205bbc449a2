// Schedules of the ledger with their times, as far as they can be told.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/slots.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/timetable.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

struct Known {
  ScheduleRecord record;  ///< `problem` says why there are no times
  std::optional<Timetable> timetable;
};

Known known_of(const Workspace& workspace, const ScheduleRecord& record, pipeline::Zones& zones);

/// Also those that were removed.
std::vector<Known> known_schedules(const Workspace& workspace, db::Connection& connection);

/// When a file came to say something else of its schedules than the ledger has, and nobody has looked since;
/// `records` are all that the ledger has of it. A file that has not changed since is not read.
std::optional<Instant> changed_since_look(const std::string& path,
                                          const std::vector<ScheduleRecord>& records);

/// Another pipeline file that is served, and whose pipeline is called as this one is.
std::optional<std::string> namesake(const Workspace& workspace, db::Connection& connection,
                                    const Pipeline& pipeline);

}  // namespace mlops::schedule
