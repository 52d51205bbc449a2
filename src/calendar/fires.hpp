// When one entry of a `schedule:` fires: a cron expression, a period or a single time, in a time zone,
// between dates, without the days of a calendar, and what becomes of times that a change of clocks skips or
// repeats.
#pragma once

#include "calendar/cron.hpp"
#include "calendar/time_zone.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace mlops::calendar {

/// Every so many seconds, counted from `anchor`.
struct Every {
  seconds period{0};
  sys_seconds anchor{};
};

struct Rule {
  std::variant<Cron, Every, sys_seconds> what;
  std::shared_ptr<const TimeZone> zone;  ///< shared by the entries of a daemon
  /// A fixed time of day that clocks skip runs at the first instant after the gap; false: not at all.
  bool run_in_gap = true;
  /// A fixed time of day that comes twice runs the first time; true: both.
  bool run_in_both = false;
  std::optional<sys_seconds> start, end;  ///< the first instant that may fire, and the first that may not
  std::set<local_days> except;
};

/// The first time after `after` at which `rule` fires; nothing until the end of calendar::last_year.
/// Changes of clocks by three hours or more are a new calendar, as for cronie: nothing is made up for.
std::optional<sys_seconds> next_fire(const Rule& rule, sys_seconds after);

/// The last time at or before `at`.
std::optional<sys_seconds> last_fire(const Rule& rule, sys_seconds at);

/// All times after `after` and up to `until`, at most `most` of them.
std::vector<sys_seconds> fires_between(const Rule& rule, sys_seconds after, sys_seconds until,
                                       std::size_t most);

/// How a time at which `rule` fires is told apart from others of its day, where clocks change: "in place of
/// 02:30, which clocks skip". Mostly empty.
std::string note_on(const Rule& rule, sys_seconds at);

/// A fixed time that clocks skip: what they would have shown, and the instant at which they jumped.
struct Gap {
  local_seconds local;
  sys_seconds instant;
};
/// The times of a cron expression after `after` and up to `until` that exist on no clock.
std::vector<Gap> gaps_between(const Rule& rule, sys_seconds after, sys_seconds until);

}  // namespace mlops::calendar
