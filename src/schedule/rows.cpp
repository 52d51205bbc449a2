// How decisions become rows: around those that are there, and after a clock that was set back.
#include "schedule/rows.hpp"

#include "db/slots.hpp"
#include "process/identity.hpp"
#include "schedule/ledger.hpp"

#include <algorithm>
#include <utility>

namespace mlops::schedule {

using std::chrono::seconds;

SlotRecord row_of(const ScheduleRecord& schedule, const Decision& decision, sys_seconds now) {
  SlotRecord row;
  row.schedule = schedule.id;
  row.at = decision.at;
  row.local = decision.local;
  row.outcome = decision.outcome;
  row.reason = decision.reason;
  row.until = decision.until;
  row.slots = decision.slots;
  row.unseen_from = decision.unseen_from;
  row.run_id = decision.run_id;
  row.decided_at = now;
  return row;
}

std::string paused_words(const ScheduleRecord& schedule) {
  return "paused" + (schedule.pause_note.empty() ? "" : ": " + schedule.pause_note);
}

bool is_dead(const SlotRecord& slot) { return !process::is_alive(slot.claimer); }

void close_dead(SlotRecord& slot, SlotOutcome outcome, const std::string& reason, sys_seconds now) {
  // When it died is not known: some time after it had claimed the slot.
  if (outcome == SlotOutcome::missed || outcome == SlotOutcome::coalesced)
    slot.unseen_from = std::chrono::floor<seconds>(slot.decided_at);
  slot.outcome = outcome;
  slot.reason = reason;
  slot.decided_at = now;
  slot.run_id.clear();
}

// Slots that have a row keep it: they ran before the clock was set back. A row for many goes around them.
void Ledger::write(const ScheduleRecord& schedule, const Timetable& timetable,
                   const std::vector<Decision>& decisions, sys_seconds now) {
  db::Connection& connection = database_.connection();
  for (const Decision& decision : decisions) {
    SlotRecord row = row_of(schedule, decision, now);
    std::vector<sys_seconds> taken;
    if (decision.slots > 1) taken = db::slot_times(connection, schedule.id, decision.at, decision.until);
    if (taken.empty()) {
      db::put_slot(connection, row);
      continue;
    }
    row.slots = 0;
    for (auto at = std::optional(decision.at); at && *at <= decision.until;
         at = calendar::next_fire(timetable.rule, *at)) {
      if (std::ranges::binary_search(taken, *at)) {
        if (row.slots > 0) db::put_slot(connection, row);
        row.slots = 0;
        continue;
      }
      if (row.slots++ == 0) {
        row.at = *at;
        row.local = timetable.text(*at);
      }
      row.until = *at;
    }
    if (row.slots > 0) db::put_slot(connection, row);
  }
}

// A clock that was set back by much: times to come are decided about when they come, and the rows that they
// have already stay until then. When the schedule began does not change with it. Within a transaction.
bool Ledger::begin_anew(ScheduleRecord& schedule, sys_seconds now) {
  if (schedule.cursor <= now + small_step) return false;
  schedule.cursor = now;
  db::put_schedule(database_.connection(), schedule);
  return true;
}

// After which slot those up to `until` are still to be decided about. Within a transaction.
sys_seconds Ledger::open_after(const ScheduleRecord& schedule, const Timetable& timetable, sys_seconds until,
                               sys_seconds now) {
  db::Connection& connection = database_.connection();
  // Of times before the schedule began, as a clock shows them that is behind, only what is due just now.
  sys_seconds from =
      std::max(schedule.cursor, until > schedule.since ? schedule.since : until - on_time - seconds(1));
  if (until <= from) return from;
  // What was decided when the clock showed an earlier time than now is right, also if the clock was set back
  // in between. What was decided when it showed a later one was decided by a clock that was ahead.
  const sys_seconds before = now - on_time;
  if (const auto decided = db::decided_until(connection, schedule, from, until, before))
    from = std::max(from, *decided);
  db::forget_slots(connection, schedule.id, from, until, before);
  for (const SlotRecord& many : db::rows_of_many(connection, schedule, from, until, before))
    take_out(many, timetable, from, until);
  return from;
}

// Takes the slots after `from` and up to `until` out of a row that stands for many. Within a transaction.
void Ledger::take_out(const SlotRecord& many, const Timetable& timetable, sys_seconds from,
                      sys_seconds until) {
  db::Connection& connection = database_.connection();
  db::delete_slot(connection, many.id);
  SlotRecord before = many, after = many;
  before.slots = 0;
  auto next = std::optional(many.at);
  for (; next && *next <= std::min(from, many.until); next = calendar::next_fire(timetable.rule, *next)) {
    ++before.slots;
    --after.slots;
    before.until = *next;
  }
  for (; next && *next <= std::min(until, many.until); next = calendar::next_fire(timetable.rule, *next))
    --after.slots;
  if (before.slots > 0) db::put_slot(connection, before);
  if (!next || after.slots <= 0) return;
  after.at = *next;
  after.local = timetable.text(*next);
  db::put_slot(connection, after);
}

// The row of one slot; one that stands for many is divided first. Within a transaction.
std::optional<SlotRecord> Ledger::row_at(const ScheduleRecord& schedule, const Timetable& timetable,
                                         sys_seconds at) {
  db::Connection& connection = database_.connection();
  if (const auto many = db::slots_around(connection, schedule.id, at, schedule.since)) {
    take_out(*many, timetable, at - seconds(1), at);
    SlotRecord one = *many;
    one.at = one.until = at;
    one.local = timetable.text(at);
    one.slots = 1;
    db::put_slot(connection, one);
  }
  return db::find_slot(connection, schedule.id, at);
}

std::optional<SlotRecord> Ledger::set_apart(const ScheduleRecord& schedule, const Timetable& timetable,
                                            sys_seconds at, sys_seconds now) {
  auto slot = row_at(schedule, timetable, at);
  if (slot && slot->outcome == SlotOutcome::claimed && is_dead(*slot)) {
    close_dead(*slot, SlotOutcome::missed, died, now);
    db::update_slot(database_.connection(), *slot);
  }
  return slot;
}

// Claims of dead processes that nobody will take over: they are for other slots than the one that is asked
// for.
void Ledger::bury(std::int64_t schedule, sys_seconds but, sys_seconds now) {
  for (SlotRecord& slot : db::list_slots(
           database_.connection(), {.schedule = schedule, .since = {}, .outcome = SlotOutcome::claimed})) {
    if (slot.at == but || !is_dead(slot)) continue;
    close_dead(slot, SlotOutcome::missed, died, now);
    db::update_slot(database_.connection(), slot);
  }
}

}  // namespace mlops::schedule
