// The rule for all years to come at the end of a time zone's file: POSIX.1-2017, chapter 8.3, TZ, with the
// hours beyond a day that RFC 8536 allows.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::calendar {

struct PosixRule {
  struct Kind {
    std::string short_name;
    std::chrono::seconds offset{0};  ///< to be added to UTC: the text has the opposite sign
  };
  /// The day of a change, and the time of that day on the clocks before it.
  struct Change {
    enum class Form { julian_without_leap_day, day_of_year, weekday };
    Form form = Form::weekday;
    int day = 0;         ///< 1..365, 0..365 or the weekday 0..6
    unsigned month = 1;  ///< for weekday
    int week = 1;        ///< for weekday: 1..5, 5 is the last
    std::chrono::seconds time{7200};
    std::chrono::local_seconds at(std::chrono::year year) const;
  };

  Kind standard;
  std::optional<Kind> summer;
  Change begin, end;  ///< of summer
};

/// Nothing when the text is no such rule.
std::optional<PosixRule> parse_posix_rule(std::string_view text);

}  // namespace mlops::calendar
