// What schedules will do in a stretch of time, if runs take as long as they took: each fire, what it meets,
// how much goes on at once. A function of timetables and history; nothing of it is kept.
#pragma once

#include "schedule/timetable.hpp"
#include "schedule/usual.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mlops::schedule {

/// An entry that is looked ahead at.
struct Subject {
  std::string file, pipeline;
  Timetable timetable;
  std::optional<Usual> usual;  ///< none: its runs are taken to end at once
};

struct Window {
  sys_seconds from{}, to{};  ///< both included
};

/// More fires than this are not looked at.
constexpr std::size_t most_fires = 200'000;

struct Fire {
  enum class Outcome { runs, skipped, waits, replaces, gap };  ///< gap: a time that clocks skip
  std::size_t subject = 0;
  sys_seconds at{};              ///< the slot
  sys_seconds begins{}, ends{};  ///< of its run; the same where there is none
  std::string note;              ///< what changes of clocks have to do with it
  Outcome outcome = Outcome::runs;
  std::optional<sys_seconds> meets;  ///< the slot of the same pipeline whose run is not over by then
  bool certain = true;               ///< of `meets`: false if only when that run takes long
  std::size_t at_once = 0;           ///< runs at that moment, this one included
  std::chrono::seconds late{0};      ///< so long after its deadline it may end
};
const char* to_string(Fire::Outcome outcome);

struct Forecast {
  std::vector<Fire> fires;                                ///< in the order of their slots
  std::optional<sys_seconds> cut;                         ///< there are more after this
  std::vector<std::pair<sys_seconds, std::size_t>> load;  ///< runs at once from each time on
  std::size_t peak = 0;
  sys_seconds peak_at{};
  std::chrono::seconds over{0};  ///< for so long more than the limit
};

/// `limit` is how many runs may go on at once before one has to wait.
Forecast look_ahead(const std::vector<Subject>& subjects, const Window& window, std::size_t limit);

/// The most runs at once by hour and five minutes, or, if the window is longer than two days, by weekday and
/// hour, as clocks of `zone` show them.
struct HeatMap {
  std::vector<std::string> rows, columns;
  std::vector<std::vector<std::size_t>> runs;
};
HeatMap heat_of(const Forecast& forecast, const Window& window, const calendar::TimeZone& zone);

}  // namespace mlops::schedule
