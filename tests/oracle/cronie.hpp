// What cronie does, minute by minute, from the text of an expression to the instants of its runs: an oracle
// that shares no code with src/calendar. Local time is that of the C library. (The grammar is that of
// crontab(5), the table of clock jumps is in cron(8) and in main() of cronie's src/cron.c.)
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace oracle {

/// Local time of every minute of some years in a zone. Sets TZ of the process while it is made.
class MinuteTable {
 public:
  MinuteTable(const std::string& zone, int first_year, int years) {
    const char* before = std::getenv("TZ");
    const std::string kept = before ? before : "";
    ::setenv("TZ", zone.c_str(), 1);
    ::tzset();
    std::tm tm{};
    tm.tm_year = first_year - 1900;
    tm.tm_mday = 1;
    begin_ = ::timegm(&tm) / 60;
    tm.tm_year += years;
    const std::int64_t end = ::timegm(&tm) / 60;
    wall_.reserve(static_cast<std::size_t>(end - begin_));
    for (std::int64_t minute = begin_; minute < end; ++minute) {
      const std::time_t at = minute * 60;
      ::localtime_r(&at, &tm);
      wall_.push_back(static_cast<std::int32_t>(minute + tm.tm_gmtoff / 60));
    }
    before ? ::setenv("TZ", kept.c_str(), 1) : ::unsetenv("TZ");
    ::tzset();
    least_ = *std::ranges::min_element(wall_);
    most_ = *std::ranges::max_element(wall_);
  }

  std::int64_t begin() const { return begin_; }
  std::int64_t end() const { return begin_ + static_cast<std::int64_t>(wall_.size()); }
  /// Minutes since 1970 that a clock on the wall shows.
  std::int32_t wall(std::int64_t minute) const { return wall_[static_cast<std::size_t>(minute - begin_)]; }
  std::int32_t least() const { return least_; }
  std::int32_t most() const { return most_; }

 private:
  std::int64_t begin_ = 0;
  std::vector<std::int32_t> wall_;
  std::int32_t least_ = 0, most_ = 0;
};

enum class DayRule { as_cron, both, either };

/// An expression as cronie reads it. What it does not read it takes for nothing: it is given valid ones only.
class Job {
 public:
  explicit Job(const std::string& expression, DayRule rule = DayRule::as_cron) : rule_(rule) {
    static const std::map<std::string, std::string> macros = {
        {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 0"},  {"@yearly", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@annually", "0 0 1 1 *"}};
    const auto macro = macros.find(expression);
    std::istringstream text(macro == macros.end() ? expression : macro->second);
    const std::array<std::pair<int, int>, 5> limits = {{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}};
    for (std::size_t i = 0; i < 5; ++i) {
      std::string field;
      text >> field;
      stars_[i] = field[0] == '*';
      values_[i] = read(field, limits[i].first, limits[i].second, i == 4);
    }
    if (values_[4].contains(7)) values_[4].insert(0);
  }

  /// For all that clocks show between two minutes: which days and which minutes of a day are its own.
  void prepare(std::int32_t least, std::int32_t most) {
    first_day_ = least / 1440 - 2;
    days_.clear();
    for (std::int64_t day = first_day_; day <= most / 1440 + 2; ++day) {
      const std::time_t at = day * 86'400;
      std::tm tm{};
      ::gmtime_r(&at, &tm);
      const bool dom = values_[2].contains(tm.tm_mday), dow = values_[4].contains(tm.tm_wday);
      const bool and_ = rule_ == DayRule::both || (rule_ == DayRule::as_cron && (stars_[2] || stars_[4]));
      days_.push_back(values_[3].contains(tm.tm_mon + 1) && (and_ ? dom && dow : dom || dow));
    }
    for (int minute = 0; minute < 1440; ++minute)
      minutes_[static_cast<std::size_t>(minute)] =
          values_[0].contains(minute % 60) && values_[1].contains(minute / 60);
  }
  bool at(std::int32_t wall) const {
    return minutes_[static_cast<std::size_t>(wall % 1440)] &&
           days_[static_cast<std::size_t>(wall / 1440 - first_day_)];
  }
  bool wild() const { return stars_[0] || stars_[1]; }

 private:
  static int number(const std::string& text) {
    if (std::isdigit(static_cast<unsigned char>(text[0]))) return std::stoi(text);
    static const std::string names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    static const std::string months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                         "jul", "aug", "sep", "oct", "nov", "dec"};
    std::string name = text.substr(0, 3);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (int i = 0; i < 7; ++i)
      if (names[i] == name) return i;
    for (int i = 0; i < 12; ++i)
      if (months[i] == name) return i + 1;
    std::abort();
  }

  static std::set<int> read(const std::string& field, int least, int most, bool weekday) {
    std::set<int> values;
    std::istringstream items(field);
    for (std::string item; std::getline(items, item, ',');) {
      const std::size_t slash = item.find('/');
      const int step = slash == item.npos ? 1 : std::stoi(item.substr(slash + 1));
      const std::string range = item.substr(0, slash);
      const std::size_t dash = range.find('-');
      int low = least, high = most;
      if (range != "*") {
        low = number(range.substr(0, dash));
        high = dash == range.npos ? low : number(range.substr(dash + 1));
        if (weekday && high == 0 && low > 0) high = 7;  // fri-sun
      }
      for (int value = low; value <= high; value += step) values.insert(value);
    }
    return values;
  }

  DayRule rule_;
  std::array<std::set<int>, 5> values_;
  std::array<bool, 5> stars_{};
  std::int64_t first_day_ = 0;
  std::vector<bool> days_;
  std::array<bool, 1440> minutes_{};
};

/// Calls `run` with the minutes since 1970 in which cronie would start the job; several starts in a minute
/// count once.
template <class Run>
void cronie_runs(const Job& job, const MinuteTable& table, Run&& run) {
  const bool wild = job.wild();
  std::int32_t virtual_time = table.wall(table.begin());
  for (std::int64_t minute = table.begin() + 1; minute < table.end(); ++minute) {
    const std::int32_t now = table.wall(minute), difference = now - virtual_time;
    bool runs_now = false;
    if (difference == 1) {
      virtual_time = now;
      runs_now = job.at(now);
    } else if (difference > 1 && difference <= 5) {
      do runs_now |= job.at(++virtual_time);
      while (virtual_time < now);
    } else if (difference > 5 && difference <= 180) {
      runs_now = wild && job.at(now);
      do {
        ++virtual_time;
        runs_now |= !wild && job.at(virtual_time);
      } while (virtual_time < now);
    } else if (difference >= -180 && difference <= 0) {
      runs_now = wild && job.at(now);
    } else {
      virtual_time = now;
      runs_now = job.at(now);
    }
    if (runs_now) run(minute);
  }
}

/// What may be chosen besides cronie's own behaviour.
struct Choices {
  bool run_in_gap = true, run_in_both = false;
  std::set<std::int64_t> except;  ///< days since 1970
};

/// The same by definition: when clocks show a time of the job, unless they showed it before, and when they
/// have skipped one.
template <class Run>
void runs_by_definition(const Job& job, const MinuteTable& table, const Choices& choices, Run&& run) {
  const bool fixed = !job.wild();
  std::int32_t before = table.wall(table.begin()), highest = before;
  for (std::int64_t minute = table.begin() + 1; minute < table.end(); ++minute) {
    const std::int32_t now = table.wall(minute), jump = now - before - 1;
    if (jump < -180 || jump >= 180) highest = now - 1;  // a new calendar
    bool runs_now = job.at(now) && (!fixed || choices.run_in_both || now > highest);
    for (std::int32_t skipped = before + 1; fixed && choices.run_in_gap && jump < 180 && skipped < now;
         ++skipped)
      runs_now |= job.at(skipped);
    highest = std::max(highest, now);
    before = now;
    if (runs_now && !choices.except.contains(now / 1440)) run(minute);
  }
}

}  // namespace oracle
