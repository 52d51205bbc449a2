#include "calendar/instants.hpp"

#include <mlops/error.hpp>

#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cctype>

namespace mlops::calendar {

using namespace std::chrono;

namespace {

// "+01:00" at the end of a time.
std::optional<seconds> cut_offset(std::string& text) {
  if (text.ends_with('Z')) {
    text.pop_back();
    return seconds(0);
  }
  const std::size_t at = text.find_first_of("+-", 11);
  if (at == text.npos || text.size() != at + 6 || text[at + 3] != ':') return std::nullopt;
  if (std::ranges::count_if(text.substr(at), [](unsigned char c) { return std::isdigit(c) != 0; }) != 4)
    return std::nullopt;
  const auto two = [&](std::size_t from) { return (text[from] - '0') * 10 + (text[from + 1] - '0'); };
  const seconds offset = hours(two(at + 1)) + minutes(two(at + 4));
  const bool west = text[at] == '-';
  text.resize(at);
  return west ? -offset : offset;
}

struct Clock {
  seconds time{0};                ///< what it shows, counted from 1970
  std::optional<seconds> offset;  ///< by which it is ahead of UTC, if that is said
};
std::optional<Clock> read_clock(std::string text) {
  Clock clock;
  clock.offset = cut_offset(text);
  if (text.size() == 10) text += " 00:00:00";
  if (text.size() == 16) text += ":00";
  const auto read = util::parse_utc(text);
  if (!read) return std::nullopt;
  clock.time = floor<seconds>(*read).time_since_epoch();
  return clock;
}

}  // namespace

sys_seconds now_seconds() { return std::chrono::floor<std::chrono::seconds>(util::now()); }

sys_seconds read_time(const std::string& text, const TimeZone& zone) {
  if (const auto day = read_day(text)) return begin_of(*day, zone);
  const auto clock = read_clock(text);
  if (!clock) {
    throw Error(ExitCode::usage, "cannot read the time '" + util::to_utf8(text) + "'",
                "such as 2026-03-29, \"2026-03-29 02:00\" or 2026-03-29T02:00:00+01:00");
  }
  if (clock->offset) return sys_seconds(clock->time - *clock->offset);
  const auto instants = zone.instants_of(local_seconds(clock->time));
  if (!instants.empty()) return instants.front();
  throw Error(ExitCode::usage, "no clock in " + zone.name() + " ever shows " + text + ": it is skipped there",
              "give the offset, as in 2026-03-29T02:00:00+01:00");
}

std::optional<sys_seconds> read_instant(const std::string& text) {
  const auto clock = read_clock(text);
  if (!clock || !clock->offset) return std::nullopt;
  return sys_seconds(clock->time - *clock->offset);
}

sys_seconds begin_of(local_days day, const TimeZone& zone) {
  const local_seconds midnight(day);
  if (const auto instants = zone.instants_of(midnight); !instants.empty()) return instants.front();
  // No offset is as large as two days: the clocks jump over it at the end of this period, or of one after it.
  std::size_t next = zone.index_at(sys_seconds(midnight.time_since_epoch()) - days(2)) + 1;
  while (zone.to_local(zone.begin(next)) < midnight) ++next;
  return zone.begin(next);
}

std::optional<local_days> read_day(std::string_view text) {
  if (text.size() != 10) return std::nullopt;
  const auto read = util::parse_utc(std::string(text) + " 00:00:00");
  if (!read) return std::nullopt;
  return local_days(floor<days>(*read).time_since_epoch());
}

std::set<local_days> read_days(const std::string& text, const std::string& name) {
  constexpr std::size_t most = 100'000;
  std::set<local_days> result;
  int number = 0;
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  const std::size_t begin = text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
  for (const std::string& full : util::split(std::string_view(text).substr(begin), '\n')) {
    ++number;
    const std::string_view line = util::trim(std::string_view(full).substr(0, full.find('#')));
    if (line.empty()) continue;
    const std::size_t dots = line.find("..");
    const auto first = read_day(util::trim(line.substr(0, dots)));
    const auto last = dots == line.npos ? first : read_day(util::trim(line.substr(dots + 2)));
    if (!first || !last || *last < *first || *last - *first > days(static_cast<int>(most))) {
      throw Error(
          ExitCode::usage,
          name + ":" + std::to_string(number) + ": '" + util::to_utf8(std::string(line)) + "' " +
              (first && last ? *last < *first ? "ends before it begins" : "is too long" : "is no day"),
          "a day on each line, such as 2026-12-24, or 2026-12-24..2026-12-26");
    }
    for (local_days day = *first; day <= *last && result.size() < most; day += days(1)) result.insert(day);
  }
  return result;
}

}  // namespace mlops::calendar
