// Times and dates as users write them.
#pragma once

#include "calendar/time_zone.hpp"

#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace mlops::calendar {

/// The time of this second, as schedules count it.
sys_seconds now_seconds();

/// "2026-03-29" (see begin_of()), "2026-03-29 02:30" or with seconds, as clocks of `zone` show it; or an
/// instant with its offset ("2026-03-29T02:00:00+01:00", "…Z"). A time that comes twice is the first. Throws
/// Error(usage), also for a time of day that no clock shows.
sys_seconds read_time(const std::string& text, const TimeZone& zone);

/// An instant with its offset, written as for read_time(); nothing if it is none.
std::optional<sys_seconds> read_instant(const std::string& text);

/// The first instant of a day: midnight, or what clocks show next where they skip it.
sys_seconds begin_of(std::chrono::local_days day, const TimeZone& zone);

/// "2026-12-24"; nothing if it is no such day.
std::optional<std::chrono::local_days> read_day(std::string_view text);

/// Days, one a line, "2026-12-24" or "2026-12-24..2026-12-26"; '#' begins a comment, also behind a day.
/// Throws Error(usage) that names the line; `name` is what the text is called.
std::set<std::chrono::local_days> read_days(const std::string& text, const std::string& name);

}  // namespace mlops::calendar
