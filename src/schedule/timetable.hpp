// An entry of a pipeline file with the times that it stands for.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/slots.hpp>

#include "calendar/fires.hpp"
#include "pipeline/schedule_rule.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mlops::schedule {

using calendar::sys_seconds;

struct Timetable {
  Schedule entry;
  calendar::Rule rule;
  std::chrono::seconds delay{0};  ///< runs start so much later than their slots

  /// ISO 8601, as clocks of its zone show it.
  std::string text(sys_seconds at) const { return calendar::to_text(at, *rule.zone); }
};

/// Those of all entries of the file. Throws Error(usage) when one cannot be understood.
std::vector<Timetable> timetables(const Pipeline& pipeline, pipeline::Zones& zones);

/// As timetables(), but throws Error(usage) if the file has no schedule.
std::vector<Timetable> require_timetables(const Pipeline& pipeline, pipeline::Zones& zones);

/// The slot `at` of each entry that has it, or the last one of each before `now`, with the number of its
/// entry; newest first. Throws Error(usage) if there is none, or it is yet to come.
std::vector<std::pair<sys_seconds, std::size_t>> slots_meant(const std::string& file,
                                                             const std::vector<Timetable>& timetables,
                                                             const std::optional<std::string>& at,
                                                             sys_seconds now);

/// What `${slot.…}` stands for in a run for the slot `at`. Of a first slot, `start` is where the one before
/// it would have been, or its own time if there is none.
SlotValues slot_values(const Timetable& timetable, sys_seconds at);

/// That of an entry as the ledger keeps it; `root` is that of the workspace. Throws Error(usage) when its
/// times cannot be told any more.
Timetable timetable_of(const ScheduleRecord& record, const std::string& root, pipeline::Zones& zones);

/// The entry as the ledger keeps it, with a digest of the days without runs, and back.
Json definition_of(const Timetable& timetable);
Schedule schedule_of(const Json& definition);

/// Whether two definitions stand for the same times, whatever their policies are.
bool same_times(const Json& a, const Json& b);

}  // namespace mlops::schedule
