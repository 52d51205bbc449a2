#include "calendar/cron.hpp"

#include "calendar/time_zone.hpp"

#include <bit>

namespace mlops::calendar {

using namespace std::chrono;

namespace {

// The weekday nearest to `day` that lies in the same month.
unsigned nearest_weekday(year_month month, unsigned day) {
  const unsigned last = static_cast<unsigned>((month / std::chrono::last).day());
  if (day > last) return 0;
  const weekday on(local_days(month / std::chrono::day(day)));
  if (on == Saturday) return day > 1 ? day - 1 : day + 2;
  if (on == Sunday) return day < last ? day + 1 : day - 2;
  return day;
}

bool matches_month_day(const Cron& cron, const year_month_day& date, weekday on) {
  const unsigned day = static_cast<unsigned>(date.day());
  if (cron.month_days >> day & 1) return true;
  if (!cron.last_day && !cron.last_weekday && !cron.near_days) return false;
  const year_month month = date.year() / date.month();
  const unsigned last = static_cast<unsigned>((month / std::chrono::last).day());
  if (cron.last_day && day == last) return true;
  if (on == Saturday || on == Sunday) return false;
  if (cron.last_weekday && day == nearest_weekday(month, last)) return true;
  // Only a neighbour by one or two days can have this one as its nearest.
  for (unsigned asked = day > 2 ? day - 2 : 1; asked <= day + 2 && asked <= 31; ++asked) {
    if ((cron.near_days >> asked & 1) && nearest_weekday(month, asked) == day) return true;
  }
  return false;
}

bool matches_weekday(const Cron& cron, const year_month_day& date, weekday on) {
  const unsigned index = on.c_encoding();
  if (cron.weekdays >> index & 1) return true;
  const std::uint8_t nth = cron.nth_weekdays[index];
  if (!nth) return false;
  const unsigned day = static_cast<unsigned>(date.day());
  const unsigned last = static_cast<unsigned>((date.year() / date.month() / std::chrono::last).day());
  return (nth >> ((day - 1) / 7 + 1) & 1) || ((nth & 1) && day + 7 > last);
}

// The least bit set at `from` or above; 64 when there is none.
int bit_from(std::uint64_t bits, int from) { return from > 63 ? 64 : std::countr_zero(bits >> from << from); }

}  // namespace

bool Cron::matches(local_days day) const {
  const year_month_day date(day);
  if (!(months >> static_cast<unsigned>(date.month()) & 1)) return false;
  const weekday on(day);
  const bool by_month_day = matches_month_day(*this, date, on), by_weekday = matches_weekday(*this, date, on);
  const bool both = days == Days::both || (days == Days::as_cron && (day_star || weekday_star));
  return both ? by_month_day && by_weekday : by_month_day || by_weekday;
}

std::optional<local_seconds> Cron::next(local_seconds local) const {
  if (at_boot || !minutes || !hours || !months) return std::nullopt;
  local = floor<std::chrono::minutes>(local) + std::chrono::minutes(1);
  local_days day = floor<std::chrono::days>(local);
  int hour = static_cast<int>((local - day) / std::chrono::hours(1));
  int minute = static_cast<int>((local - day) / std::chrono::minutes(1) % 60);
  const local_days end(last_year / December / 31);
  while (day <= end) {
    const year_month_day date(day);
    if (!(months >> static_cast<unsigned>(date.month()) & 1)) {
      day = local_days((date.year() / date.month() + std::chrono::months(1)) / 1);
      hour = minute = 0;
      continue;
    }
    if (matches(day)) {
      for (int at = bit_from(hours, hour); at < 24; at = bit_from(hours, at + 1)) {
        minute = bit_from(minutes, at == hour ? minute : 0);
        if (minute < 60) return day + std::chrono::hours(at) + std::chrono::minutes(minute);
      }
    }
    day += std::chrono::days(1);
    hour = minute = 0;
  }
  return std::nullopt;
}

}  // namespace mlops::calendar
