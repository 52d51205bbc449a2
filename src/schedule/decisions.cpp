#include "schedule/decisions.hpp"

#include "util/quantity.hpp"

#include <algorithm>
#include <deque>

namespace mlops::schedule {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// The newest slots one by one, and how many were before them.
struct Due {
  std::deque<sys_seconds> newest;
  sys_seconds first{}, last{};  // of those before
  std::int64_t before = 0;
};

Due due_slots(const Timetable& timetable, sys_seconds cursor, sys_seconds until, std::size_t most) {
  Due due;
  for (auto next = calendar::next_fire(timetable.rule, cursor); next && *next <= until;
       next = calendar::next_fire(timetable.rule, *next)) {
    due.newest.push_back(*next);
    if (due.newest.size() <= most) continue;
    if (due.before++ == 0) due.first = due.newest.front();
    due.last = due.newest.front();
    due.newest.pop_front();
  }
  return due;
}

std::string late_text(seconds late) { return util::format_duration(duration_cast<milliseconds>(late)); }

void add_gaps(const Timetable& timetable, sys_seconds cursor, sys_seconds until,
              std::vector<Decision>& decisions) {
  const auto* cron = std::get_if<calendar::Cron>(&timetable.rule.what);
  if (!cron) return;
  const bool made_up = timetable.rule.run_in_gap && !cron->is_wildcard();
  for (const calendar::Gap& gap : calendar::gaps_between(timetable.rule, cursor, until)) {
    if (decisions.size() > most_rows) return;
    const calendar::Rule& rule = timetable.rule;
    if ((rule.start && gap.instant < *rule.start) || (rule.end && gap.instant >= *rule.end)) continue;
    if (rule.except.contains(std::chrono::floor<std::chrono::days>(gap.local))) continue;
    decisions.push_back(
        {gap.instant, calendar::to_text(gap.local), SlotOutcome::gap,
         made_up ? "clocks skip it: it runs at " + timetable.text(gap.instant) : "clocks skip it",
         gap.instant, 1});
  }
}

Decision of(const Timetable& timetable, sys_seconds at, SlotOutcome outcome, std::string reason) {
  return {at, timetable.text(at), outcome, std::move(reason), at, 1};
}

}  // namespace

sys_seconds settled_until(const Timetable& timetable, sys_seconds now) { return now - timetable.delay; }

std::vector<Decision> decide(const Timetable& timetable, sys_seconds cursor, sys_seconds now) {
  const Schedule& policy = timetable.entry;
  const sys_seconds until = settled_until(timetable, now);
  std::vector<Decision> decisions;
  if (until <= cursor) return decisions;
  const std::size_t most =
      policy.catchup == Catchup::all
          ? std::max<std::size_t>(most_rows, static_cast<std::size_t>(policy.catchup_most))
          : most_rows;
  const Due due = due_slots(timetable, cursor, until, most);
  add_gaps(timetable, cursor, until, decisions);
  if (due.newest.empty()) return decisions;
  const std::string absent = "nobody looked at the time";
  const auto late = [&](sys_seconds at) { return until - at; };
  // One run for all: what those before the last come to.
  const bool coalesced = policy.catchup == Catchup::last &&
                         (policy.start_within.count() == 0 || late(due.newest.back()) <= policy.start_within);
  const std::string one_run = "one run for all that were missed: " + timetable.text(due.newest.back());
  if (due.before > 0) {
    decisions.push_back({due.first, timetable.text(due.first),
                         coalesced ? SlotOutcome::coalesced : SlotOutcome::missed,
                         coalesced ? one_run : absent, due.last, due.before});
  }
  std::size_t to_run = 0;  // so many of the newest
  switch (policy.catchup) {
    case Catchup::none:
      while (to_run < due.newest.size() && late(due.newest[due.newest.size() - 1 - to_run]) <= on_time)
        ++to_run;
      break;
    case Catchup::last: to_run = 1; break;
    case Catchup::all:
      to_run = std::min(due.newest.size(), static_cast<std::size_t>(policy.catchup_most));
      break;
  }
  for (std::size_t i = 0; i < due.newest.size(); ++i) {
    const sys_seconds at = due.newest[i];
    const bool chosen = i + to_run >= due.newest.size();
    if (!chosen && coalesced) {
      decisions.push_back(of(timetable, at, SlotOutcome::coalesced, one_run));
    } else if (!chosen && policy.catchup == Catchup::last) {
      decisions.push_back(of(timetable, at, SlotOutcome::missed, absent + " for " + late_text(late(at))));
    } else if (!chosen && policy.catchup == Catchup::all) {
      decisions.push_back(
          of(timetable, at, SlotOutcome::missed,
             absent + ", and `catchup` makes up for " + std::to_string(policy.catchup_most) + " at most"));
    } else if (!chosen) {
      decisions.push_back(of(timetable, at, SlotOutcome::missed,
                             absent + " for " + late_text(late(at)) + ", and `catchup` is none"));
    } else if (policy.start_within.count() > 0 && late(at) > policy.start_within) {
      decisions.push_back(of(timetable, at, SlotOutcome::missed,
                             "it could start " + late_text(late(at)) + " late only, and `start_within` is " +
                                 util::format_duration(policy.start_within)));
    } else if (policy.catchup == Catchup::all && policy.catchup_window.count() > 0 &&
               late(at) > policy.catchup_window) {
      decisions.push_back(
          of(timetable, at, SlotOutcome::missed,
             absent + " for " + late_text(late(at)) + ", longer than the `window` of `catchup`"));
    } else {
      decisions.push_back(of(timetable, at, SlotOutcome::claimed, ""));
    }
  }
  std::ranges::stable_sort(decisions, {}, &Decision::at);
  return decisions;
}

std::vector<Decision> void_slots(const Timetable& timetable, sys_seconds cursor, sys_seconds now,
                                 SlotOutcome outcome, const std::string& reason) {
  const sys_seconds until = settled_until(timetable, now);
  std::vector<Decision> decisions;
  if (until <= cursor) return decisions;
  const Due due = due_slots(timetable, cursor, until, most_rows);
  if (due.before > 0)
    decisions.push_back({due.first, timetable.text(due.first), outcome, reason, due.last, due.before});
  for (const sys_seconds at : due.newest) decisions.push_back(of(timetable, at, outcome, reason));
  return decisions;
}

}  // namespace mlops::schedule
