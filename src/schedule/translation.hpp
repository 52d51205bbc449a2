// An entry of `schedule:` in the words of other schedulers, and what of it they have no words for.
#pragma once

#include "calendar/time_zone.hpp"
#include "schedule/timetable.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

struct Translation {
  std::vector<std::string> times;  ///< each in the other's form; empty: it cannot say them
  std::vector<std::string> lost;   ///< of the times, in words
};

/// One line of a crontab, without its command, for a cron that goes by `clock`. What it stands for is
/// compared day by day with what the entry does, some years ahead from `now` on.
Translation to_crontab(const Timetable& timetable, const calendar::TimeZone& clock, sys_seconds now);

/// Values of systemd's OnCalendar=, systemd.time(7); or "every N", for a timer that counts from its last
/// start.
Translation to_on_calendar(const Timetable& timetable, sys_seconds now);

/// Between the clocks of two zones, `a` minus `b`, if that stays the same for years.
std::optional<std::chrono::seconds> steady_distance(const calendar::TimeZone& a, const calendar::TimeZone& b,
                                                    sys_seconds now);

}  // namespace mlops::schedule
