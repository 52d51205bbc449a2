#include "schedule/export.hpp"

#include "schedule/crontab.hpp"
#include "schedule/translation.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::schedule {

namespace {

// Cron starts a job whatever the one before does. What waits for its turn, or gives way, does so by flock(1),
// on the pipeline's own file.
std::vector<std::string> command_of(const Call& call, const Served& file, Overlap overlap) {
  std::vector<std::string> words;
  if (overlap == Overlap::skip) words = {"flock", "-n", "-E", "75", file.file};
  if (overlap == Overlap::queue) words = {"flock", file.file};
  if (!call.environment.empty()) words.emplace_back("/usr/bin/env");
  for (const auto& [name, value] : call.environment) words.push_back(name + "=" + value);
  words.insert(words.end(), {call.program, "-w", call.workspace, "run", file.file, "--quiet"});
  return words;
}

std::vector<std::string> policies_lost(const Schedule& entry) {
  std::vector<std::string> lost;
  if (entry.catchup != Catchup::none) lost.push_back("`catchup`: what was missed is not made up for");
  if (entry.overlap == Overlap::replace) lost.push_back("`overlap: replace`: both run");
  if (entry.start_within.count() > 0) lost.push_back("`start_within`");
  return lost;
}

}  // namespace

ExportedCrontab export_crontab(const Call& call, const std::vector<Served>& files,
                               const calendar::TimeZone& clock, sys_seconds now) {
  ExportedCrontab result;
  for (const Served& file : files) {
    const std::string& name = file.pipeline.name;
    result.lines.push_back("# " +
                           util::escape_controls(name + " (" + file.file +
                                                 "), by `mlops export crontab`; times of " + clock.name()));
    for (const Timetable& timetable : file.timetables) {
      const Schedule& entry = timetable.entry;
      Translation translation = to_crontab(timetable, clock, now);
      const bool whole = translation.times.empty();
      if (!whole) {
        const auto policies = policies_lost(entry);
        translation.lost.insert(translation.lost.end(), policies.begin(), policies.end());
        result.lines.push_back(translation.times[0] + " " +
                               cron_command(command_of(call, file, entry.overlap)));
        if (result.lines.back().size() > longest_command + translation.times[0].size() + 1)
          result.losses.push_back(
              {name, entry.name, "its line is too long for some crons; --no-path shortens it", false});
      } else {
        result.lines.push_back("# not here: " +
                               util::escape_controls(entry.name + " (" + times_of(entry) +
                                                     "): " + util::join(translation.lost, ", ")));
      }
      for (const std::string& text : translation.lost)
        result.losses.push_back({name, entry.name, text, whole});
    }
  }
  return result;
}

ExportedUnits export_units(const Call& call, const std::vector<Served>& files, sys_seconds now) {
  ExportedUnits result;
  for (const Served& file : files) {
    const bool leaves = std::ranges::any_of(file.pipeline.steps, &Step::leave_running);
    const auto units = pipeline_units(call, file.file, file.pipeline.name, file.timetables, leaves, now);
    for (std::size_t i = 0; i < units.size(); ++i) {
      const std::string entry = i == 0 ? "" : file.timetables[i - 1].entry.name;
      for (const std::string& text : units[i].lost)
        result.losses.push_back({file.pipeline.name, entry, text, units[i].text.empty()});
      if (!units[i].text.empty()) result.units.push_back(units[i]);
    }
  }
  return result;
}

}  // namespace mlops::schedule
