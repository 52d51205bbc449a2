#include "schedule/known.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"

namespace mlops::schedule {

Known known_of(const Workspace& workspace, const ScheduleRecord& record, pipeline::Zones& zones) {
  Known known{record, std::nullopt};
  try {
    known.timetable = timetable_of(record, workspace.root(), zones);
  } catch (const Error& error) {
    known.record.problem = error.what();
  }
  return known;
}

std::vector<Known> known_schedules(const Workspace& workspace, db::Connection& connection) {
  pipeline::Zones zones;
  std::vector<Known> list;
  for (const ScheduleRecord& record : db::schedules(connection))
    list.push_back(known_of(workspace, record, zones));
  return list;
}

}  // namespace mlops::schedule
