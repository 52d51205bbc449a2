// An entry of a pipeline file with the times that it stands for.
#pragma once

#include <mlops/pipeline.hpp>

#include "calendar/fires.hpp"
#include "pipeline/schedule_rule.hpp"

#include <string>
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

/// The entry as the ledger keeps it, with a digest of the days without runs, and back.
Json definition_of(const Timetable& timetable);
Schedule schedule_of(const Json& definition);

/// Whether two definitions stand for the same times, whatever their policies are.
bool same_times(const Json& a, const Json& b);

}  // namespace mlops::schedule
