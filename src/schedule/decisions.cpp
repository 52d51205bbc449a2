#include "schedule/decisions.hpp"

#include "util/quantity.hpp"

#include <algorithm>
#include <deque>
#include <utility>

namespace mlops::schedule {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// The newest slots one by one, and how many were before them.
struct DueSlots {
  std::deque<sys_seconds> newest;
  sys_seconds first{}, last{};  // of those before
  std::int64_t before = 0;
};

DueSlots due_slots(const Timetable& timetable, sys_seconds cursor, sys_seconds until, std::size_t most) {
  DueSlots due;
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

// Times that clocks skip and that the entry would have.
std::vector<calendar::Gap> gaps(const Timetable& timetable, sys_seconds cursor, sys_seconds until) {
  const calendar::Rule& rule = timetable.rule;
  if (!std::holds_alternative<calendar::Cron>(rule.what)) return {};
  std::vector<calendar::Gap> list = calendar::gaps_between(rule, cursor, until);
  std::erase_if(list, [&](const calendar::Gap& gap) {
    return (rule.start && gap.instant < *rule.start) || (rule.end && gap.instant >= *rule.end) ||
           rule.except.contains(std::chrono::floor<std::chrono::days>(gap.local));
  });
  return list;
}

void add_gaps(const Timetable& timetable, sys_seconds cursor, sys_seconds until,
              std::vector<Decision>& decisions) {
  const auto* cron = std::get_if<calendar::Cron>(&timetable.rule.what);
  const bool made_up = cron && timetable.rule.run_in_gap && !cron->is_wildcard();
  for (const calendar::Gap& gap : gaps(timetable, cursor, until)) {
    if (decisions.size() > most_rows) return;
    decisions.push_back(
        {gap.instant, calendar::to_text(gap.local), SlotOutcome::gap,
         made_up ? "clocks skip it: it runs at " + timetable.text(gap.instant) : "clocks skip it",
         gap.instant, 1});
  }
}

Decision of(const Timetable& timetable, sys_seconds at, SlotOutcome outcome, std::string reason) {
  return {at, timetable.text(at), outcome, std::move(reason), at, 1};
}

std::string absent_text(const Timetable& timetable, sys_seconds from, sys_seconds now) {
  return "nobody looked at the time from " + timetable.text(from) + " to " + timetable.text(now);
}

}  // namespace

sys_seconds settled_until(const Timetable& timetable, sys_seconds now) { return now - timetable.delay; }

std::vector<Decision> decide(const Timetable& timetable, sys_seconds cursor, sys_seconds now,
                             const Absence& absence) {
  const Schedule& policy = timetable.entry;
  const sys_seconds until = settled_until(timetable, now);
  std::vector<Decision> decisions;
  if (until <= cursor) return decisions;
  const std::size_t most =
      policy.catchup == Catchup::all
          ? std::max<std::size_t>(most_rows, static_cast<std::size_t>(policy.catchup_most))
          : most_rows;
  const DueSlots due = due_slots(timetable, cursor, until, most);
  add_gaps(timetable, cursor, until, decisions);
  if (due.newest.empty()) return decisions;
  // Who was there when the first of them was due, and did nothing, did not look.
  sys_seconds unseen = cursor + timetable.delay;
  if (absence.seen && *absence.seen < (due.before > 0 ? due.first : due.newest.front()) + timetable.delay)
    unseen = std::max(unseen, *absence.seen);
  const std::string absent = absent_text(timetable, unseen, absence.back.value_or(now));
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
  std::size_t to_run = 1;  // so many of the newest
  if (policy.catchup == Catchup::none && late(due.newest.back()) > on_time) to_run = 0;
  if (policy.catchup == Catchup::all)
    to_run = std::min(due.newest.size(), static_cast<std::size_t>(policy.catchup_most));
  for (std::size_t i = 0; i < due.newest.size(); ++i) {
    const sys_seconds at = due.newest[i];
    const bool chosen = i + to_run >= due.newest.size();
    SlotOutcome outcome = SlotOutcome::missed;
    std::string reason = absent;
    if (!chosen && coalesced) {
      outcome = SlotOutcome::coalesced;
      reason = one_run;
    } else if (!chosen && policy.catchup == Catchup::all) {
      reason += ", and `catchup` makes up for " + std::to_string(policy.catchup_most) + " at most";
    } else if (!chosen && policy.catchup == Catchup::none) {
      reason += ", and `catchup` is none";
    } else if (chosen && policy.start_within.count() > 0 && late(at) > policy.start_within) {
      reason += ": it could start " + late_text(late(at)) + " late only, and `start_within` is " +
                util::format_duration(policy.start_within);
    } else if (chosen && policy.catchup == Catchup::all && policy.catchup_window.count() > 0 &&
               late(at) > policy.catchup_window) {
      reason += ", and it is " + late_text(late(at)) + " late, longer than the `window` of `catchup`";
    } else if (chosen) {
      outcome = SlotOutcome::claimed;
      reason.clear();
    }
    decisions.push_back(of(timetable, at, outcome, std::move(reason)));
  }
  for (Decision& decision : decisions) {
    if (decision.outcome == SlotOutcome::missed || decision.outcome == SlotOutcome::coalesced)
      decision.unseen_from = unseen;
  }
  std::ranges::stable_sort(decisions, {}, &Decision::at);
  return decisions;
}

std::vector<Decision> void_slots(const Timetable& timetable, sys_seconds cursor, sys_seconds now,
                                 SlotOutcome outcome, const std::string& reason) {
  const sys_seconds until = settled_until(timetable, now);
  std::vector<Decision> decisions;
  if (until <= cursor) return decisions;
  const DueSlots due = due_slots(timetable, cursor, until, most_rows);
  add_gaps(timetable, cursor, until, decisions);
  if (due.before > 0)
    decisions.push_back({due.first, timetable.text(due.first), outcome, reason, due.last, due.before});
  for (const sys_seconds at : due.newest) decisions.push_back(of(timetable, at, outcome, reason));
  std::ranges::stable_sort(decisions, {}, &Decision::at);
  return decisions;
}

void make_missed(Decision& decision, const Timetable& timetable, sys_seconds from, sys_seconds to,
                 const std::string& reason) {
  decision.outcome = SlotOutcome::missed;
  decision.reason = absent_text(timetable, from, to) + ", " + reason;
  decision.unseen_from = from;
}

void skip_with(std::vector<Decision>& coalesced, const std::string& slot, const std::string& reason,
               const std::string& run_id) {
  for (Decision& decision : coalesced) {
    decision.outcome = SlotOutcome::skipped;
    decision.reason = "one run was to make up for all that were missed, that of " + slot + ": " + reason;
    decision.run_id = run_id;
  }
}

std::vector<Decision> gaps_since(const Timetable& timetable, sys_seconds cursor, sys_seconds now) {
  std::vector<Decision> decisions;
  add_gaps(timetable, cursor, settled_until(timetable, now), decisions);
  return decisions;
}

std::optional<sys_seconds> next_look(const Timetable& timetable, sys_seconds cursor) {
  auto next = calendar::next_fire(timetable.rule, cursor);
  if (!next) return std::nullopt;
  if (const auto skipped = gaps(timetable, cursor, *next); !skipped.empty()) next = skipped.front().instant;
  return *next + timetable.delay;
}

std::optional<Instant> start_by(const Schedule& policy, seconds delay, sys_seconds slot) {
  if (policy.start_within.count() == 0) return std::nullopt;
  return Instant(slot + delay) + policy.start_within;
}

}  // namespace mlops::schedule
