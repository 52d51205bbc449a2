#include "schedule/backfill_plan.hpp"

#include "calendar/instants.hpp"

#include <algorithm>

namespace mlops::schedule {

using std::chrono::days;
using std::chrono::seconds;

SlotState state_of(const SlotHistory& slot) {
  const bool ran = slot.row && slot.row->outcome == SlotOutcome::ran;
  if (slot.row && slot.row->outcome == SlotOutcome::claimed && slot.claimer_lives) return SlotState::running;
  if (ran && slot.run == RunState::running) return SlotState::running;
  if (slot.asked_by != 0) return SlotState::waiting;
  // Of a run that was deleted nobody knows how it ended.
  if (!ran || !slot.run) return SlotState::missing;
  if (slot.run != RunState::succeeded) return SlotState::failed;
  return slot.same ? SlotState::fresh : SlotState::stale;
}

namespace {

std::string reason_of(const SlotHistory& slot, SlotState state) {
  if (state == SlotState::waiting) return "backfill " + std::to_string(slot.asked_by);
  if (!slot.row) return {};
  const SlotRecord& row = *slot.row;
  if (row.outcome == SlotOutcome::ran && !slot.run) return "run " + row.run_id + " was deleted";
  if (row.outcome == SlotOutcome::ran) return state == SlotState::failed ? to_string(*slot.run) : "";
  return std::string(to_string(row.outcome)) + (row.reason.empty() ? "" : ": " + row.reason);
}

}  // namespace

BackfillPlan plan_backfill(const std::vector<SlotHistory>& slots, const BackfillChoice& choice,
                           std::optional<Milliseconds> each) {
  BackfillPlan plan;
  for (const SlotHistory& slot : slots) {
    const SlotState state = state_of(slot);
    const bool busy = state == SlotState::running || state == SlotState::waiting;
    PlannedSlot planned{
        slot.at, slot.local, state, "", reason_of(slot, state), !busy && choice.only.contains(state)};
    if (slot.row && slot.run) planned.run_id = slot.row->run_id;
    if (planned.chosen) plan.order.push_back(plan.slots.size());
    ++plan.counts[state];
    plan.slots.push_back(std::move(planned));
  }
  if (choice.newest_first) std::ranges::reverse(plan.order);
  plan.each = each;
  if (each) {
    const auto at_a_time = static_cast<std::size_t>(std::max(1, choice.jobs));
    plan.total = *each * ((plan.order.size() + at_a_time - 1) / at_a_time);
  }
  return plan;
}

std::vector<SlotHistory> slots_between(const Timetable& timetable, const std::string& from,
                                       const std::string& to, sys_seconds now) {
  const calendar::TimeZone& zone = *timetable.rule.zone;
  const sys_seconds first = calendar::read_time(from, zone);
  if (first > now)
    throw Error(ExitCode::usage, "--from " + from + " is yet to come",
                "slots are run when their time has come");
  sys_seconds last = now;
  if (!to.empty()) {
    const auto day = calendar::read_day(to);
    last = day ? calendar::begin_of(*day + days(1), zone) - seconds(1) : calendar::read_time(to, zone);
  }
  if (last < first) throw Error(ExitCode::usage, "--to " + to + " comes before --from " + from);
  const auto times = calendar::fires_between(timetable.rule, first - seconds(1), std::min(last, now),
                                             most_backfill_slots + 1);
  const std::string entry = "'" + timetable.entry.name + "' (" + times_of(timetable.entry) + ")";
  if (times.size() > most_backfill_slots) {
    throw Error(
        ExitCode::usage,
        entry + " has more than " + std::to_string(most_backfill_slots) + " slots between these times",
        "do it in parts: a smaller --from … --to …");
  }
  if (times.empty()) {
    throw Error(ExitCode::usage,
                entry + " has no slot between " + timetable.text(first) + " and " +
                    timetable.text(std::min(last, now)),
                "`mlops schedule next FILE --from " + from + "` lists its slots");
  }
  std::vector<SlotHistory> slots;
  slots.reserve(times.size());
  for (const sys_seconds at : times) slots.push_back({at, timetable.text(at)});
  return slots;
}

}  // namespace mlops::schedule
