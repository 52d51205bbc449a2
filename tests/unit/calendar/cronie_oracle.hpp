// What cronie's clock loop does, minute by minute, with the C library's idea of local time: an oracle that
// shares no code with calendar/. (The table of clock jumps is in cron(8) and in main() of cronie's
// src/cron.c.)
#pragma once

#include "calendar/cron.hpp"

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

/// Local time of every minute of some years in a zone, from the C library. Sets TZ of the process while it
/// works.
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
    offsets_.reserve(static_cast<std::size_t>(end - begin_));
    for (std::int64_t minute = begin_; minute < end; ++minute) {
      const std::time_t at = minute * 60;
      ::localtime_r(&at, &tm);
      offsets_.push_back(static_cast<std::int16_t>(tm.tm_gmtoff / 60));
    }
    before ? ::setenv("TZ", kept.c_str(), 1) : ::unsetenv("TZ");
    ::tzset();
  }

  std::int64_t begin() const { return begin_; }
  std::int64_t end() const { return begin_ + static_cast<std::int64_t>(offsets_.size()); }
  /// Minutes since 1970 that a clock on the wall shows.
  std::int64_t wall(std::int64_t minute) const {
    return minute + offsets_[static_cast<std::size_t>(minute - begin_)];
  }

 private:
  std::int64_t begin_ = 0;
  std::vector<std::int16_t> offsets_;
};

/// The days on which an expression runs, by plain division of days; `matches` of find_jobs().
class OracleJob {
 public:
  OracleJob(const mlops::calendar::Cron& cron, std::int64_t first_wall, std::int64_t last_wall)
      : cron_(cron), first_day_(first_wall / 1440) {
    for (std::int64_t day = first_day_; day <= last_wall / 1440 + 1; ++day) {
      const std::time_t at = day * 86'400;
      std::tm tm{};
      ::gmtime_r(&at, &tm);
      const bool month = cron.months >> (tm.tm_mon + 1) & 1, dom = cron.month_days >> tm.tm_mday & 1,
                 dow = cron.weekdays >> tm.tm_wday & 1;
      days_.push_back(month && (cron.day_star || cron.weekday_star ? dom && dow : dom || dow));
    }
  }
  bool at(std::int64_t wall) const {
    const std::int64_t day = wall / 1440, minute = wall % 1440;
    return (cron_.minutes >> (minute % 60) & 1) && (cron_.hours >> (minute / 60) & 1) &&
           days_[static_cast<std::size_t>(day - first_day_)];
  }
  bool wild() const { return cron_.minute_star || cron_.hour_star; }

 private:
  const mlops::calendar::Cron& cron_;
  std::int64_t first_day_;
  std::vector<bool> days_;
};

/// The minutes since 1970 in which cronie would start the job; several starts in a minute count once.
inline std::vector<std::int64_t> cronie_runs(const mlops::calendar::Cron& cron, const MinuteTable& table) {
  const OracleJob job(cron, table.wall(table.begin()) - 2880, table.wall(table.end() - 1) + 2880);
  const bool wild = job.wild();
  std::vector<std::int64_t> runs;
  std::int64_t virtual_time = table.wall(table.begin());
  for (std::int64_t minute = table.begin() + 1; minute < table.end(); ++minute) {
    const std::int64_t now = table.wall(minute), difference = now - virtual_time;
    bool runs_now = false;
    if (difference == 1) {
      virtual_time = now;
      runs_now = job.at(now);
    } else if (difference > 1 && difference <= 5) {
      do runs_now |= job.at(++virtual_time);
      while (virtual_time < now);
    } else if (difference > 5 && difference <= 180) {
      runs_now = wild && job.at(now);
      do runs_now |= !wild && job.at(++virtual_time), virtual_time += wild;
      while (virtual_time < now);
    } else if (difference > -180 && difference <= 0) {
      runs_now = wild && job.at(now);
    } else {
      virtual_time = now;
      runs_now = job.at(now);
    }
    if (runs_now) runs.push_back(minute);
  }
  return runs;
}
