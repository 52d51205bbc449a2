#include "calendar/cron.hpp"
#include "schedule/numbers.hpp"
#include "schedule/translation.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <set>

namespace mlops::schedule {

using namespace std::chrono;
using calendar::Cron;
using calendar::TimeZone;

namespace {

constexpr days far{3653};
constexpr std::array<std::pair<int, int>, 5> ranges{{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}};

std::uint64_t bits_of(const Cron& cron, int field) {
  const std::array<std::uint64_t, 5> all{cron.minutes, cron.hours, cron.month_days, cron.months,
                                         cron.weekdays};
  return all[static_cast<std::size_t>(field)];
}

std::string text_of(std::uint64_t bits, int field) {
  const auto [low, high] = ranges[static_cast<std::size_t>(field)];
  return numbers_text(bits, low, high, "-");
}

// Every cron reads it: numbers, names of three letters, `*`, and what stands between.
bool is_plain(std::string_view word) {
  std::string token;
  const auto good = [&] {
    const bool digits = std::ranges::all_of(token, [](unsigned char c) { return std::isdigit(c) != 0; });
    const bool letters = std::ranges::all_of(token, [](unsigned char c) { return std::isalpha(c) != 0; });
    return !token.empty() && (digits || token == "*" || (letters && token.size() == 3));
  };
  for (const char c : std::string(word) + ",") {
    if (c != ',' && c != '-' && c != '/') {
      token += c;
    } else {
      if (!good()) return false;
      token.clear();
    }
  }
  return true;
}

// The days that both stand for are the same, as far as one looks.
bool same_days(const Cron& a, const Cron& b, sys_seconds now, days shift) {
  const local_days first(floor<days>(now).time_since_epoch());
  for (local_days day = first; day < first + days(3 * 1461); day += days(1)) {
    if (a.matches(day) != b.matches(day + shift)) return false;
  }
  return true;
}

struct Clock {
  int hour, minute;
};
// As a product of two fields: only if each minute goes with each hour.
std::optional<std::pair<std::uint64_t, std::uint64_t>> as_fields(const std::vector<Clock>& times) {
  std::uint64_t minutes = 0, hours = 0;
  std::set<int> distinct;
  for (const Clock& time : times) {
    minutes |= std::uint64_t{1} << time.minute;
    hours |= std::uint64_t{1} << time.hour;
    distinct.insert(time.hour * 60 + time.minute);
  }
  const auto product = static_cast<std::size_t>(std::popcount(minutes) * std::popcount(hours));
  if (times.empty() || distinct.size() != product) return std::nullopt;
  return std::pair(minutes, hours);
}

// The distinct offsets of a zone in the years to come.
std::set<seconds> offsets_of(const TimeZone& zone, sys_seconds now) {
  std::set<seconds> offsets;
  for (std::size_t i = zone.index_at(now); i < zone.size() && zone.begin(i) < now + far; ++i)
    offsets.insert(zone.offset(i));
  return offsets;
}

constexpr const char* not_daily = "a crontab counts from the full hour and the full day";

Translation every_line(const calendar::Every& every, const TimeZone& clock, sys_seconds now) {
  const seconds period = every.period;
  if (period < minutes(1) || period % minutes(1) != seconds(0))
    return {{}, {"a crontab knows whole minutes only"}};
  if (seconds(days(1)) % period != seconds(0)) return {{}, {not_daily}};
  std::set<std::string> lines;
  for (const seconds offset : offsets_of(clock, now)) {
    std::vector<Clock> times;
    const seconds anchor = (every.anchor.time_since_epoch() + offset) % period;
    if (anchor % minutes(1) != seconds(0)) return {{}, {"a crontab knows whole minutes only"}};
    for (seconds at = (anchor + period) % period; at < seconds(days(1)); at += period)
      times.push_back({static_cast<int>(at / hours(1)), static_cast<int>(at / minutes(1) % 60)});
    const auto fields = as_fields(times);
    if (!fields) return {{}, {not_daily}};
    std::string minute = text_of(fields->first, 0);
    if (period < hours(1) && (fields->first & 1) && period > minutes(1))
      minute = "*/" + std::to_string(period / minutes(1));
    lines.insert(minute + " " + text_of(fields->second, 1) + " * * *");
  }
  if (lines.size() != 1) return {{}, {"by cron's clock, its hours are not the same all year"}};
  return {{*lines.begin()}, {}};
}

// The line whose times are so much later on cron's clock.
std::optional<std::string> shifted_line(const Cron& cron, minutes shift, sys_seconds now) {
  std::vector<Clock> times;
  std::set<int> carries;
  for (int h = 0; h < 24; ++h) {
    for (int m = 0; m < 60; ++m) {
      if (!(cron.hours >> h & 1) || !(cron.minutes >> m & 1)) continue;
      const int at = h * 60 + m + static_cast<int>(shift.count());
      const int day = at >= 0 ? at / 1440 : -((1439 - at) / 1440);
      carries.insert(day);
      times.push_back({(at - day * 1440) / 60, (at - day * 1440) % 60});
    }
  }
  const auto fields = as_fields(times);
  const bool every_day = cron.month_days == 0xfffffffe && cron.weekdays == 0x7f && cron.months == 0x1ffe;
  if (!fields || (carries.size() > 1 && !every_day)) return std::nullopt;
  const int carry = every_day ? 0 : *carries.begin();
  std::uint64_t weekdays = 0;
  for (int day = 0; day < 7; ++day) {
    if (cron.weekdays >> day & 1) weekdays |= std::uint64_t{1} << ((day + carry + 7) % 7);
  }
  std::string line = text_of(fields->first, 0) + " " + text_of(fields->second, 1);
  for (int field = 2; field < 5; ++field)
    line += " " + text_of(field == 4 ? weekdays : bits_of(cron, field), field);
  calendar::CronProblem problem;
  const auto back = calendar::parse_cron(line, "", problem);
  if (!back || !same_days(cron, *back, now, days(carry))) return std::nullopt;
  return line;
}

std::optional<std::string> plain_line(const Cron& cron, const std::string& text, sys_seconds now) {
  const auto words = calendar::fields_of(text);
  if (words.size() == 1) return text;
  std::string line;
  for (int field = 0; field < 5; ++field) {
    const std::string_view word = words[static_cast<std::size_t>(field)];
    line +=
        (field == 0 ? "" : " ") + (is_plain(word) ? std::string(word) : text_of(bits_of(cron, field), field));
  }
  calendar::CronProblem problem;
  const auto back = calendar::parse_cron(line, "", problem);
  if (!back || back->minutes != cron.minutes || back->hours != cron.hours ||
      !same_days(cron, *back, now, days(0)))
    return std::nullopt;
  return line;
}

Translation cron_line(const Timetable& timetable, const Cron& cron, const TimeZone& clock, sys_seconds now) {
  const TimeZone& zone = *timetable.rule.zone;
  const auto distance = steady_distance(clock, zone, now);
  if (!distance || *distance % minutes(1) != seconds(0))
    return {{}, {"cron goes by " + clock.name() + ", whose distance to " + zone.name() + " changes"}};
  const auto line = *distance == seconds(0) ? plain_line(cron, timetable.entry.cron, now)
                                            : shifted_line(cron, duration_cast<minutes>(*distance), now);
  if (!line) return {{}, {"a crontab has no words for its days"}};
  Translation result{{*line}, {}};
  if (!cron.is_wildcard() && (!timetable.entry.run_in_gap || timetable.entry.run_in_both) &&
      offsets_of(zone, now).size() > 1)
    result.lost.push_back("`dst`: cron has a rule of its own");
  return result;
}

}  // namespace

std::optional<seconds> steady_distance(const TimeZone& a, const TimeZone& b, sys_seconds now) {
  std::set<seconds> distances;
  const auto look = [&](sys_seconds at) { distances.insert(a.to_local(at) - b.to_local(at)); };
  look(now);
  for (const TimeZone* zone : {&a, &b}) {
    for (std::size_t i = zone->index_at(now) + 1; i < zone->size() && zone->begin(i) < now + far; ++i)
      look(zone->begin(i));
  }
  if (distances.size() > 1) return std::nullopt;
  return *distances.begin();
}

Translation to_crontab(const Timetable& timetable, const TimeZone& clock, sys_seconds now) {
  const Schedule& entry = timetable.entry;
  Translation result;
  if (const auto* cron = std::get_if<Cron>(&timetable.rule.what)) {
    result = cron_line(timetable, *cron, clock, now);
  } else if (const auto* every = std::get_if<calendar::Every>(&timetable.rule.what)) {
    result = every_line(*every, clock, now);
  } else {
    return {{}, {"a crontab has no years, so that nothing runs once"}};
  }
  if (timetable.rule.start && *timetable.rule.start > now) result.lost.push_back("`start`");
  if (timetable.rule.end) result.lost.push_back("`end`");
  if (!entry.except.empty()) result.lost.push_back("`except`");
  if (entry.jitter.count() > 0) result.lost.push_back("`jitter`");
  return result;
}

}  // namespace mlops::schedule
