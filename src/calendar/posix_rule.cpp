#include "calendar/posix_rule.hpp"

#include <cctype>

namespace mlops::calendar {

using namespace std::chrono;

local_seconds PosixRule::Change::at(year y) const {
  const local_days new_year(y / January / 1);
  local_days on = new_year;
  switch (form) {
    case Form::julian_without_leap_day: on += days(day - 1 + (y.is_leap() && day >= 60 ? 1 : 0)); break;
    case Form::day_of_year: on += days(day); break;
    case Form::weekday: {
      const weekday wanted(static_cast<unsigned>(day));
      on = week == 5 ? local_days(y / std::chrono::month(month) / wanted[last])
                     : local_days(y / std::chrono::month(month) / wanted[static_cast<unsigned>(week)]);
      break;
    }
  }
  return on + time;
}

namespace {

class RuleParser {
 public:
  explicit RuleParser(std::string_view text) : text_(text) {}

  std::optional<PosixRule> parse() {
    PosixRule rule;
    if (!read_name(rule.standard.short_name) || !read_time(rule.standard.offset, 24)) return std::nullopt;
    rule.standard.offset = -rule.standard.offset;
    if (at_end()) return rule;
    rule.summer = PosixRule::Kind{};
    if (!read_name(rule.summer->short_name)) return std::nullopt;
    rule.summer->offset = rule.standard.offset + hours(1);
    if (!at_end() && peek() != ',') {
      if (!read_time(rule.summer->offset, 24)) return std::nullopt;
      rule.summer->offset = -rule.summer->offset;
    }
    if (!take(',') || !read_change(rule.begin) || !take(',') || !read_change(rule.end) || !at_end())
      return std::nullopt;
    return rule;
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  bool read_name(std::string& name) {
    const bool quoted = take('<');
    while (!at_end() && (quoted ? peek() != '>' : std::isalpha(static_cast<unsigned char>(peek())) != 0))
      name += text_[at_++];
    return (!quoted || take('>')) && name.size() >= 3;
  }

  bool read_number(int& value, int least, int most) {
    if (!std::isdigit(static_cast<unsigned char>(peek()))) return false;
    value = 0;
    while (std::isdigit(static_cast<unsigned char>(peek())) && value <= 1000)
      value = value * 10 + (text_[at_++] - '0');
    return value >= least && value <= most;
  }

  bool read_time(seconds& time, int most_hours) {
    const bool minus = take('-');
    if (!minus) take('+');
    int hour = 0, minute = 0, second = 0;
    if (!read_number(hour, 0, most_hours)) return false;
    if (take(':') && (!read_number(minute, 0, 59) || (take(':') && !read_number(second, 0, 59))))
      return false;
    time = hours(hour) + minutes(minute) + seconds(second);
    if (minus) time = -time;
    return true;
  }

  bool read_change(PosixRule::Change& change) {
    using Form = PosixRule::Change::Form;
    if (take('M')) {
      int month = 0;
      change.form = Form::weekday;
      if (!read_number(month, 1, 12) || !take('.') || !read_number(change.week, 1, 5) || !take('.') ||
          !read_number(change.day, 0, 6))
        return false;
      change.month = static_cast<unsigned>(month);
    } else if (take('J')) {
      change.form = Form::julian_without_leap_day;
      if (!read_number(change.day, 1, 365)) return false;
    } else {
      change.form = Form::day_of_year;
      if (!read_number(change.day, 0, 365)) return false;
    }
    return !take('/') || read_time(change.time, 167);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<PosixRule> parse_posix_rule(std::string_view text) { return RuleParser(text).parse(); }

}  // namespace mlops::calendar
