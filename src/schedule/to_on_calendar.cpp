#include "calendar/cron.hpp"
#include "schedule/numbers.hpp"
#include "schedule/translation.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <utility>

namespace mlops::schedule {

using namespace std::chrono;
using calendar::Cron;

namespace {

constexpr std::size_t most_lines = 60;
constexpr std::uint32_t all_month_days = 0xfffffffe;
constexpr std::uint8_t all_weekdays = 0x7f;

std::string weekdays_text(std::uint8_t bits) {
  constexpr const char* names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
  std::string out;
  for (unsigned i = 0; i < 7; ++i) {
    if (bits >> (i + 1) % 7 & 1) out += (out.empty() ? "" : ",") + std::string(names[i]);
  }
  return out;
}

/// Some days, in the two words that systemd has for them.
struct DayWords {
  std::string weekdays;    ///< empty: all
  std::string month_days;  ///< "-01,15", "~01"
};

// Of the month's days, without those of a weekday; none if one of them cannot be said.
std::optional<std::vector<std::string>> month_day_words(const Cron& cron) {
  if (cron.near_days || cron.last_weekday) return std::nullopt;
  std::vector<std::string> words;
  if (cron.month_days) words.push_back("-" + numbers_text(cron.month_days, 1, 31, "..", 2));
  if (cron.last_day) words.push_back("~01");
  return words;
}

std::vector<DayWords> weekday_words(const Cron& cron) {
  std::vector<DayWords> words;
  if (cron.weekdays)
    words.push_back({cron.weekdays == all_weekdays ? "" : weekdays_text(cron.weekdays), "-*"});
  for (unsigned day = 0; day < 7; ++day) {
    const std::string name = weekdays_text(static_cast<std::uint8_t>(1U << day));
    for (unsigned nth = 0; nth <= 5; ++nth) {
      if (!(cron.nth_weekdays[day] >> nth & 1)) continue;
      if (nth == 0) {
        words.push_back({name, "~07/1"});
      } else {
        const std::uint64_t week = (std::uint64_t{0x7f} << (7 * nth - 6)) & all_month_days;
        words.push_back({name, "-" + numbers_text(week, 1, 31, "..", 2)});
      }
    }
  }
  return words;
}

std::optional<std::vector<DayWords>> day_words(const Cron& cron) {
  const auto month_days = month_day_words(cron);
  if (!month_days) return std::nullopt;
  const std::vector<DayWords> weekdays = weekday_words(cron);
  const bool both = cron.days == calendar::Days::both ||
                    (cron.days == calendar::Days::as_cron && (cron.day_star || cron.weekday_star));
  const bool any_month_day = cron.month_days == all_month_days, any_weekday = cron.weekdays == all_weekdays;
  std::vector<DayWords> words;
  if (!both) {
    if (any_month_day || any_weekday) return std::vector<DayWords>{{"", "-*"}};
    for (const std::string& days : *month_days) words.push_back({"", days});
    words.insert(words.end(), weekdays.begin(), weekdays.end());
    return words;
  }
  for (const std::string& days : any_month_day ? std::vector<std::string>{"-*"} : *month_days) {
    for (const DayWords& weekday : weekdays) {
      if (days != "-*" && weekday.month_days != "-*") return std::nullopt;
      words.push_back({weekday.weekdays, days == "-*" ? weekday.month_days : days});
    }
  }
  return words;
}

std::string zone_of(const Timetable& timetable) {
  return timetable.entry.timezone.empty() ? "" : " " + timetable.rule.zone->name();
}

Translation cron_times(const Timetable& timetable, const Cron& cron, sys_seconds now) {
  const auto days = day_words(cron);
  if (!days) return {{}, {"systemd has no words for its days"}};
  Translation result;
  for (const DayWords& day : *days) {
    result.times.push_back((day.weekdays.empty() ? "" : day.weekdays + " ") + "*-" +
                           numbers_text(cron.months, 1, 12, "..", 2) + day.month_days + " " +
                           numbers_text(cron.hours, 0, 23, "..", 2) + ":" +
                           numbers_text(cron.minutes, 0, 59, "..", 2) + ":00" + zone_of(timetable));
  }
  const bool changes = !steady_distance(*timetable.rule.zone, calendar::TimeZone::load("UTC"), now);
  if (changes && timetable.rule.run_in_gap && !cron.is_wildcard())
    result.lost.push_back("a time of day that clocks skip does not run that day");
  if (changes && cron.is_wildcard()) result.lost.push_back("of times that come twice, only one runs");
  if (changes && timetable.rule.run_in_both) result.lost.push_back("`dst`: what comes twice runs once");
  return result;
}

std::string steps(seconds first, seconds period, const char* rest) {
  std::string out = std::to_string(first.count());
  if (out.size() < 2) out = "0" + out;
  return out + "/" + std::to_string(period.count()) + rest;
}

Translation every_times(const calendar::Every& every) {
  const seconds period = every.period, day = days(1);
  if (day % period != seconds(0))
    return {{"every " + std::to_string(period.count()) + "s"},
            {"it is counted from the run before, not from a fixed time"}};
  const seconds first = every.anchor.time_since_epoch() % period;
  if (minutes(1) % period == seconds(0)) return {{"*-*-* *:*:" + steps(first, period, " UTC")}, {}};
  // Hours by minute and second; minutes of the same hours share a line.
  std::map<std::pair<int, int>, std::uint64_t> hours_of;
  for (seconds at = (first + period) % period; at < day; at += period)
    hours_of[{static_cast<int>(at / minutes(1) % 60), static_cast<int>(at % minutes(1) / seconds(1))}] |=
        std::uint64_t{1} << (at / hours(1));
  std::map<std::pair<std::uint64_t, int>, std::uint64_t> minutes_of;
  for (const auto& [time, hours] : hours_of)
    minutes_of[{hours, time.second}] |= std::uint64_t{1} << time.first;
  if (minutes_of.size() > most_lines) return {{}, {"systemd would need more than 60 lines for its times"}};
  Translation result;
  for (const auto& [place, minute_bits] : minutes_of) {
    result.times.push_back("*-*-* " + numbers_text(place.first, 0, 23, "..", 2) + ":" +
                           numbers_text(minute_bits, 0, 59, "..", 2) + ":" +
                           numbers_text(std::uint64_t{1} << place.second, 0, 59, "..", 2) + " UTC");
  }
  return result;
}

}  // namespace

Translation to_on_calendar(const Timetable& timetable, sys_seconds now) {
  Translation result;
  const calendar::Rule& rule = timetable.rule;
  if (const auto* cron = std::get_if<Cron>(&rule.what)) {
    result = cron_times(timetable, *cron, now);
  } else if (const auto* every = std::get_if<calendar::Every>(&rule.what)) {
    result = every_times(*every);
  } else {
    const auto at = std::get<sys_seconds>(rule.what);
    const auto date = year_month_day(floor<days>(at));
    const hh_mm_ss time(at - floor<days>(at));
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d:%02d UTC", int(date.year()),
                  unsigned(date.month()), unsigned(date.day()), int(time.hours().count()),
                  int(time.minutes().count()), int(time.seconds().count()));
    result.times = {text};
  }
  if (rule.start && *rule.start > now && !std::holds_alternative<calendar::Every>(rule.what))
    result.lost.push_back("`start`");
  if (rule.end) result.lost.push_back("`end`");
  if (!rule.except.empty()) result.lost.push_back("`except`");
  return result;
}

}  // namespace mlops::schedule
