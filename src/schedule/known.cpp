#include "schedule/known.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"
#include "db/triggers.hpp"

#include <filesystem>
#include <set>

namespace mlops::schedule {

Known known_of(const Workspace& workspace, const ScheduleRecord& record, pipeline::Zones& zones) {
  Known known{record, std::nullopt};
  try {
    known.timetable = timetable_of(record, workspace.root(), zones);
  } catch (const std::exception& error) {
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

std::optional<std::string> namesake(const Workspace& workspace, db::Connection& connection,
                                    const Pipeline& pipeline) {
  std::set<std::string> files;
  const auto collect = [&](const auto& records) {
    for (const auto& record : records) {
      if (record.served && !record.removed_at && record.problem.empty() && record.pipeline == pipeline.name)
        files.insert(record.file);
    }
  };
  collect(db::schedules(connection));
  collect(db::triggers(connection));
  files.erase(workspace.relative(pipeline.file));
  for (const std::string& file : files) {
    try {  // it may be gone, or be called something else by now
      const auto path = std::filesystem::path(workspace.root()) / file;
      if (load_pipeline(path.string(), {.overrides = {}, .check_files = false}).name == pipeline.name)
        return file;
    } catch (const std::exception&) {
      continue;
    }
  }
  return std::nullopt;
}

}  // namespace mlops::schedule
