#include "calendar/fires.hpp"

#include <algorithm>

namespace mlops::calendar {

using namespace std::chrono;

namespace {

// As in cronie: of a jump by three hours those that are skipped are not made up for, and those that come
// twice are.
constexpr seconds most_made_up = hours(3);

local_seconds local_of(sys_seconds instant, seconds offset) {
  return local_seconds((instant + offset).time_since_epoch());
}
sys_seconds instant_of(local_seconds local, seconds offset) {
  return sys_seconds(local.time_since_epoch()) - offset;
}

// How far clocks jump at the end of a period; negative when they go back.
seconds jump_after(const TimeZone& zone, std::size_t period) {
  return period + 1 < zone.size() ? zone.offset(period + 1) - zone.offset(period) : seconds(0);
}

// Clocks showed `local` before, in the period before this one.
bool is_second_time(const TimeZone& zone, std::size_t period, local_seconds local) {
  if (period == 0) return false;
  const seconds jump = jump_after(zone, period - 1);
  return jump < seconds(0) && jump >= -most_made_up &&
         local < local_of(zone.begin(period), zone.offset(period - 1));
}

// Some 29ths of February are forty years from the one before that fell on the same day of the week, and a
// single time may be further back.
constexpr seconds longest_pause = days(366 * 400);

/// Walks from one time of an expression to the next.
std::optional<sys_seconds> next_of(const Rule& rule, const Cron& cron, sys_seconds after) {
  const TimeZone& zone = *rule.zone;
  const bool fixed = !cron.is_wildcard();
  std::size_t period = zone.index_at(after);
  local_seconds local = local_of(after, zone.offset(period));
  while (true) {
    const std::optional<local_seconds> found = cron.next(local);
    if (!found) return std::nullopt;
    const sys_seconds instant = instant_of(*found, zone.offset(period));
    if (instant < zone.end(period)) {
      if (!fixed || rule.run_in_both || !is_second_time(zone, period, *found)) return instant;
      local = *found;
      continue;
    }
    const seconds jump = jump_after(zone, period);
    const sys_seconds end = zone.end(period);
    const local_seconds jumped_from = local_of(end, zone.offset(period));
    ++period;
    if (fixed && rule.run_in_gap && jump > seconds(0) && jump < most_made_up && *found < jumped_from + jump)
      return end;
    // A second before: what clocks show at the first instant counts as well.
    local = local_of(end, zone.offset(period)) - seconds(1);
  }
}

std::optional<sys_seconds> next_of(const Every& every, sys_seconds after) {
  const seconds passed = after - every.anchor;
  if (passed < seconds(0)) return every.anchor;
  return every.anchor + (passed / every.period + 1) * every.period;
}

std::optional<sys_seconds> next_raw(const Rule& rule, sys_seconds after) {
  if (const auto* cron = std::get_if<Cron>(&rule.what)) return next_of(rule, *cron, after);
  if (const auto* every = std::get_if<Every>(&rule.what)) return next_of(*every, after);
  const sys_seconds once = std::get<sys_seconds>(rule.what);
  return once > after ? std::optional(once) : std::nullopt;
}

// The first instant after the local day that has `instant`, less a second: nothing of the day comes after it.
sys_seconds end_of_day(const TimeZone& zone, sys_seconds instant) {
  const local_days day = floor<days>(zone.to_local(instant));
  sys_seconds at = instant;
  // Until clocks show another day; hours are skipped and repeated on some, so it is found by looking.
  for (std::size_t period = zone.index_at(instant);; ++period) {
    at = instant_of(day + days(1), zone.offset(period));
    if (at <= zone.end(period)) return std::max(at, instant + seconds(1)) - seconds(1);
    if (floor<days>(zone.to_local(zone.end(period))) != day) return zone.end(period) - seconds(1);
  }
}

}  // namespace

std::optional<sys_seconds> next_fire(const Rule& rule, sys_seconds after) {
  if (rule.start && *rule.start - seconds(1) > after) after = *rule.start - seconds(1);
  while (true) {
    const std::optional<sys_seconds> next = next_raw(rule, after);
    if (!next || (rule.end && *next >= *rule.end)) return std::nullopt;
    if (rule.except.empty() || !rule.except.contains(floor<days>(rule.zone->to_local(*next)))) return next;
    after = std::max(*next, end_of_day(*rule.zone, *next));
  }
}

std::optional<sys_seconds> last_fire(const Rule& rule, sys_seconds at) {
  // Ever further back, until the stretch has one.
  for (seconds back = minutes(10); back <= longest_pause; back *= 8) {
    std::optional<sys_seconds> last, next = next_fire(rule, at - back - seconds(1));
    while (next && *next <= at) {
      last = next;
      next = next_fire(rule, *next);
    }
    if (last) return last;
  }
  return std::nullopt;
}

std::vector<sys_seconds> fires_between(const Rule& rule, sys_seconds after, sys_seconds until,
                                       std::size_t most) {
  std::vector<sys_seconds> fires;
  while (fires.size() < most) {
    const std::optional<sys_seconds> next = next_fire(rule, after);
    if (!next || *next > until) break;
    fires.push_back(*next);
    after = *next;
  }
  return fires;
}

std::vector<Gap> gaps_between(const Rule& rule, sys_seconds after, sys_seconds until) {
  std::vector<Gap> gaps;
  const auto* cron = std::get_if<Cron>(&rule.what);
  if (!cron) return gaps;
  const TimeZone& zone = *rule.zone;
  for (std::size_t period = zone.index_at(after); period + 1 < zone.size() && zone.end(period) <= until;
       ++period) {
    const seconds jump = jump_after(zone, period);
    if (jump <= seconds(0) || zone.end(period) <= after) continue;
    const local_seconds from = local_of(zone.end(period), zone.offset(period));
    for (auto local = cron->next(from - seconds(1)); local && *local < from + jump;
         local = cron->next(*local))
      gaps.push_back({*local, zone.end(period)});
  }
  return gaps;
}

std::string note_on(const Rule& rule, sys_seconds at) {
  const local_seconds local = rule.zone->to_local(at);
  const std::vector<sys_seconds> shown = rule.zone->instants_of(local);
  if (shown.size() > 1)
    return std::string("the ") + (shown[0] == at ? "first" : "second") +
           " of two times that clocks show this";
  // Only what is made up for stands for another time.
  const auto* cron = std::get_if<Cron>(&rule.what);
  const seconds before(1);
  if (!cron || cron->is_wildcard() || !rule.run_in_gap ||
      jump_after(*rule.zone, rule.zone->index_at(at - before)) >= most_made_up)
    return {};
  for (const Gap& gap : gaps_between(rule, at - before, at)) {
    if (gap.instant == at && gap.local < local)
      return "in place of " + to_text(gap.local).substr(11) + ", which clocks skip";
  }
  return {};
}

}  // namespace mlops::calendar
