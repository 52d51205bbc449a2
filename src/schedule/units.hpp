// Units of systemd: the daemon as a service of the user, and a pipeline with timers of systemd's own.
#pragma once

#include "schedule/timetable.hpp"

#include <map>
#include <string>
#include <vector>

namespace mlops::schedule {

/// How mlops is to be called by others.
struct Call {
  std::string program;    ///< absolute
  std::string workspace;  ///< its root
  std::map<std::string, std::string> environment;
};

struct Unit {
  std::string name;  ///< of its file
  std::string text;
  std::vector<std::string> lost;  ///< of the pipeline's schedule, in words
};

/// Words of a command line in a unit: quoted, nothing in them is a variable or a specifier.
std::string unit_command(const std::vector<std::string>& words);

/// What may stand in the name of a unit, made of any text.
std::string unit_name(const std::string& text);

/// `mlops daemon`. Runs and their keepers outlive it, as they lie in its control group and only it is ended.
Unit daemon_unit(const Call& call, const std::string& name);

/// A service that runs the file, and a timer for each of its entries. Entries that cannot be said have no
/// timer.
std::vector<Unit> pipeline_units(const Call& call, const std::string& file, const std::string& pipeline,
                                 const std::vector<Timetable>& timetables, bool leaves_processes,
                                 sys_seconds now);

}  // namespace mlops::schedule
