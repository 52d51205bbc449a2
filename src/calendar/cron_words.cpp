#include "calendar/cron.hpp"
#include "util/strings.hpp"

#include <bit>
#include <cstdio>

namespace mlops::calendar {

namespace {

constexpr const char* months[] = {"",     "January", "February",  "March",   "April",    "May",     "June",
                                  "July", "August",  "September", "October", "November", "December"};
constexpr const char* weekdays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                    "Thursday", "Friday", "Saturday"};

std::vector<int> values(std::uint64_t bits) {
  std::vector<int> list;
  for (; bits; bits &= bits - 1) list.push_back(std::countr_zero(bits));
  return list;
}

// "a, b and c"
std::string enumerate(const std::vector<std::string>& parts, const char* last = "and") {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? " " + std::string(last) + " " : ", ";
    text += parts[i];
  }
  return text;
}

// Runs of three and more as "A to B".
template <typename Name>
std::string listed(std::uint64_t bits, Name name) {
  const std::vector<int> all = values(bits);
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < all.size();) {
    std::size_t end = i;
    while (end + 1 < all.size() && all[end + 1] == all[end] + 1) ++end;
    if (end >= i + 2) {
      parts.push_back(name(all[i]) + " to " + name(all[end]));
    } else {
      for (std::size_t j = i; j <= end; ++j) parts.push_back(name(all[j]));
    }
    i = end + 1;
  }
  return enumerate(parts);
}

// The distance between neighbours when it is the same all around a field of `size` values; else 0.
int even_step(std::uint64_t bits, int size) {
  const std::vector<int> all = values(bits);
  if (all.size() < 2) return 0;
  const int step = all[1] - all[0];
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (all[i] - all[i - 1] != step) return 0;
  }
  return all[0] + size - all.back() == step ? step : 0;
}

std::string two(int value) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, "%02d", value);
  return buffer;
}

std::string time_words(const Cron& cron) {
  const std::vector<int> minutes = values(cron.minutes), hours = values(cron.hours);
  const bool all_hours = hours.size() == 24;
  std::string minute;
  const int step = even_step(cron.minutes, 60);
  if (minutes.size() == 60) {
    minute = "every minute";
  } else if (step > 1) {
    minute = "every " + std::to_string(step) + " minutes" +
             (minutes[0] ? ", from minute " + std::to_string(minutes[0]) : "");
  } else if (minutes.size() * hours.size() <= 12 && !all_hours) {
    std::vector<std::string> times;
    for (const int h : hours) {
      for (const int m : minutes) times.push_back(two(h) + ":" + two(m));
    }
    return "at " + enumerate(times);
  } else {
    minute = "at minute " + listed(cron.minutes, [](int m) { return std::to_string(m); });
  }
  if (all_hours) return minute + (minutes.size() == 60 || step > 1 ? "" : " of every hour");
  const int hour_step = even_step(cron.hours, 24);
  if (hour_step > 1)
    return minute + " of every " + std::to_string(hour_step) + " hours, from " + two(hours[0]) + ":00";
  return minute + " of the hours " + listed(cron.hours, [](int h) { return two(h); });
}

std::string ordinal(int n) {
  const int tens = n % 100, ones = n % 10;
  const char* ending = tens >= 11 && tens <= 13 ? "th"
                       : ones == 1              ? "st"
                       : ones == 2              ? "nd"
                       : ones == 3              ? "rd"
                                                : "th";
  return std::to_string(n) + ending;
}

std::string month_day_words(const Cron& cron) {
  std::vector<std::string> parts;
  if (cron.month_days) parts.push_back("the " + listed(cron.month_days, ordinal));
  if (cron.last_day) parts.push_back("the last day of the month");
  if (cron.last_weekday) parts.push_back("the last weekday (Monday to Friday) of the month");
  for (const int day : values(cron.near_days)) parts.push_back("the weekday nearest to the " + ordinal(day));
  return enumerate(parts);
}

std::string weekday_words(const Cron& cron) {
  std::vector<std::string> parts;
  if (cron.weekdays == 0b0111110) {
    parts.push_back("Monday to Friday");
  } else if (cron.weekdays) {
    // From Monday on, as people read weeks.
    const std::uint64_t from_monday = static_cast<std::uint64_t>(cron.weekdays >> 1) | (cron.weekdays & 1u)
                                                                                           << 6;
    parts.push_back(listed(from_monday, [](int d) { return std::string(weekdays[(d + 1) % 7]); }));
  }
  for (int day = 0; day < 7; ++day) {
    for (const int nth : values(cron.nth_weekdays[static_cast<std::size_t>(day)]))
      parts.push_back("the " + (nth ? ordinal(nth) : std::string("last")) + " " + weekdays[day] +
                      " of the month");
  }
  return enumerate(parts);
}

bool every_month_day(const Cron& cron) { return std::popcount(cron.month_days) == 31; }
bool every_weekday(const Cron& cron) { return (cron.weekdays & 0x7f) == 0x7f; }

std::string day_words(const Cron& cron) {
  const bool both =
      cron.days == Days::both || (cron.days == Days::as_cron && (cron.day_star || cron.weekday_star));
  if (!both && (every_month_day(cron) || every_weekday(cron))) return "every day";
  if (every_month_day(cron) && every_weekday(cron)) return "every day";
  if (every_weekday(cron)) return "on " + month_day_words(cron);
  if (every_month_day(cron)) return "on " + weekday_words(cron);
  return "on " + month_day_words(cron) + (both ? ", if that is " : ", and on ") + weekday_words(cron);
}

}  // namespace

std::string in_words(const Cron& cron) {
  if (cron.at_boot) return "once after each start of the machine";
  std::string text = time_words(cron) + ", " + day_words(cron);
  if (std::popcount(cron.months) < 12)
    text += ", in " + listed(cron.months, [](int m) { return std::string(months[m]); });
  return text;
}

std::vector<CronProblem> doubts_about(std::string_view text, const Cron& cron) {
  std::vector<CronProblem> doubts;
  const std::vector<std::string_view> fields = fields_of(text);
  if (cron.at_boot || fields.size() != 5) return doubts;
  const auto place = [&](int field) {
    return static_cast<std::size_t>(fields[static_cast<std::size_t>(field)].data() - text.data());
  };
  const auto field = [&](int index) { return std::string(fields[static_cast<std::size_t>(index)]); };

  if (cron.days == Days::as_cron && !every_month_day(cron) && !every_weekday(cron)) {
    const bool both = cron.day_star || cron.weekday_star;
    doubts.push_back(
        {place(2),
         "both day fields are set: '" + field(2) + "' and '" + field(4) + "' mean " +
             (both ? "days that are both, as one begins with '*'" : "days that are either, as in cron"),
         both ? "that is easily misread: say it with a list of days"
              : "for days that are both write '+' before the weekday: +" + field(4)});
  }
  struct Cycle {
    int field, size;  // the latter 0: months differ
    const char* unit;
    const char* period;  // as `every` has it
    std::uint64_t bits;
  };
  for (const Cycle& cycle :
       {Cycle{0, 60, "minutes", "m", cron.minutes}, Cycle{1, 24, "hours", "h", cron.hours},
        Cycle{2, 0, "days", "d", cron.month_days}, Cycle{3, 12, "months", "", cron.months},
        Cycle{4, 7, "weekdays", "", cron.weekdays & 0x7fu}}) {
    const std::string written = field(cycle.field);
    const std::vector<int> all = values(cycle.bits);
    if (!written.starts_with("*/") || written.find(',') != written.npos || all.empty()) continue;
    if (all.size() == 1) {
      const std::string only = std::to_string(all[0]), step = written.substr(2);
      doubts.push_back(
          {place(cycle.field), "'" + written + "' steps over all " + cycle.unit + " but " + only,
           "write '" + only + "' if that is meant" +
               (*cycle.period ? ", or every: " + step + cycle.period + " in place of cron" : "")});
      continue;
    }
    if (cycle.field > 1 || even_step(cycle.bits, cycle.size)) continue;
    const int rest = cycle.size - all.back();
    doubts.push_back({place(cycle.field),
                      "'" + written + "' is not every " + written.substr(2) + " " + cycle.unit + ": " +
                          std::to_string(all.back()) + " is followed by 0 after " + std::to_string(rest),
                      "an even distance needs a divisor of " + std::to_string(cycle.size)});
  }
  if (field(2).starts_with("*/") && std::popcount(cron.month_days) > 1)
    doubts.push_back({place(2), "'" + field(2) + "' begins again on the 1st of each month",
                      "months differ in length: days in even steps do not go on from one to the next"});
  if (std::popcount(cron.minutes) == 60 && std::popcount(cron.hours) <= 3)
    doubts.push_back({place(0),
                      "every minute of the hour" + std::string(std::popcount(cron.hours) > 1 ? "s" : "") +
                          " '" + field(1) + "'",
                      "once an hour is '0 " + field(1) + " …'; once at midnight is '0 0 …'"});
  if (!cron.next(local_seconds(local_days(std::chrono::year(2000) / 1 / 1))))
    doubts.push_back({place(2), "there is no such day: '" + field(2) + " " + field(3) + "' never comes",
                      "check the day and the month"});
  return doubts;
}

}  // namespace mlops::calendar
