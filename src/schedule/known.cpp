#include "schedule/known.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"
#include "db/triggers.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
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

std::optional<Instant> changed_since_look(const std::string& path,
                                          const std::vector<ScheduleRecord>& records) {
  sys_seconds known_at{};
  std::map<std::string, std::string> known, said;
  for (const ScheduleRecord& record : records) {
    known_at = std::max(known_at, record.since);
    if (!record.removed_at) known[record.name] = record.definition;
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return std::nullopt;
  const sys_seconds changed{std::chrono::seconds(st.st_ctim.tv_sec)};
  if (changed < known_at) return std::nullopt;
  try {
    pipeline::Zones zones;
    for (const Timetable& timetable :
         timetables(load_pipeline(path, {.overrides = {}, .check_files = false}), zones))
      said[timetable.entry.name] = definition_of(timetable).dump();
  } catch (const std::exception&) {
    return Instant(changed);
  }
  return known == said ? std::nullopt : std::optional<Instant>(changed);
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
