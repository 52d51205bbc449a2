#include "schedule/ledger.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"
#include "schedule/rows.hpp"
#include "util/time.hpp"

#include <algorithm>

namespace mlops::schedule {

using std::chrono::seconds;

namespace {

bool same_record(const ScheduleRecord& a, const ScheduleRecord& b) {
  return a.pipeline == b.pipeline && a.definition == b.definition && a.cursor == b.cursor &&
         a.served == b.served && a.removed_at == b.removed_at && a.problem == b.problem;
}

}  // namespace

SlotRecord row_of(const ScheduleRecord& schedule, const Decision& decision) {
  SlotRecord row;
  row.schedule = schedule.id;
  row.at = decision.at;
  row.local = decision.local;
  row.outcome = decision.outcome;
  row.reason = decision.reason;
  row.until = decision.until;
  row.slots = decision.slots;
  row.decided_at = util::now();
  return row;
}

std::string paused_words(const ScheduleRecord& schedule) {
  return "paused" + (schedule.pause_note.empty() ? "" : ": " + schedule.pause_note);
}

// Slots that have a row keep it: they ran before the clock was set back. A row for many goes around them.
void Ledger::write(const ScheduleRecord& schedule, const Timetable& timetable,
                   const std::vector<Decision>& decisions) {
  db::Connection& connection = database_.connection();
  for (const Decision& decision : decisions) {
    SlotRecord row = row_of(schedule, decision);
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

// A clock that was set back by much: what was decided about times to come is forgotten, but not what was
// claimed. Within a transaction.
bool Ledger::begin_anew(ScheduleRecord& schedule, const Timetable& timetable, sys_seconds now) {
  if (schedule.cursor <= now + small_step) return false;
  db::Connection& connection = database_.connection();
  // Of a row that stands for many, those until now stay.
  if (auto many = db::slots_around(connection, schedule.id, now, schedule.since); many && many->until > now) {
    many->slots = 0;
    for (auto at = std::optional(many->at); at && *at <= now; at = calendar::next_fire(timetable.rule, *at)) {
      ++many->slots;
      many->until = *at;
    }
    db::update_slot(connection, *many);
  }
  db::forget_slots_after(connection, schedule.id, now);
  schedule.cursor = now;
  schedule.since = std::min(schedule.since, now);
  db::put_schedule(connection, schedule);
  return true;
}

std::vector<ScheduleRecord> Ledger::adopt(const Pipeline& pipeline, const std::vector<Timetable>& timetables,
                                          sys_seconds now, std::optional<bool> serve) {
  const std::string file = workspace_.relative(pipeline.file);
  db::Connection& connection = database_.connection();
  db::Transaction transaction(database_, db::Durability::full);
  std::vector<ScheduleRecord> known = db::schedules_of(connection, file);
  std::vector<ScheduleRecord> result;
  pipeline::Zones zones;
  // Slots of an entry as it was, which nobody looked at before it was changed.
  const auto close = [&](ScheduleRecord& record, const std::string& reason) {
    try {
      Schedule before = schedule_of(Json::parse(record.definition, nullptr, false));
      const Timetable old{before, pipeline::rule_of(before, record.pipeline, pipeline.directory, zones),
                          seconds(0)};
      begin_anew(record, old, now);
      write(record, old, void_slots(old, record.cursor, now, SlotOutcome::superseded, reason));
    } catch (const Error&) {
      // Its times cannot be told any more: a zone or a file of days is gone.
    }
  };
  for (const Timetable& timetable : timetables) {
    const auto found = std::ranges::find(known, timetable.entry.name, &ScheduleRecord::name);
    ScheduleRecord record;
    const Json definition = definition_of(timetable);
    std::string text = definition.dump();
    if (found != known.end()) {
      record = *found;
      const bool gone = record.removed_at.has_value();
      const auto other_times = [&] {
        return record.definition != text &&
               !same_times(Json::parse(record.definition, nullptr, false), definition);
      };
      if (gone || other_times()) {
        if (!gone) close(record, "the entry was changed");
        db::forget_slots_after(connection, record.id, now);  // of a clock that was ahead
        record.cursor = record.since = now;
      }
    } else {
      record.file = file;
      record.name = timetable.entry.name;
      record.cursor = record.since = now;
      record.created_at = util::now();
      // One that belongs to a file that is served is served.
      record.served = std::ranges::any_of(known, &ScheduleRecord::served);
    }
    record.pipeline = pipeline.name;
    record.definition = std::move(text);
    record.removed_at.reset();
    record.problem.clear();
    if (serve) record.served = *serve;
    if (found == known.end() || !same_record(*found, record))
      record.id = db::put_schedule(connection, record);
    result.push_back(std::move(record));
  }
  for (ScheduleRecord& record : known) {
    const bool there = std::ranges::any_of(result, [&](const auto& r) { return r.name == record.name; });
    if (there || record.removed_at) continue;
    close(record, "the entry was removed");
    record.removed_at = util::now();
    record.cursor = std::max(record.cursor, now);
    db::put_schedule(connection, record);
  }
  transaction.commit();
  return result;
}

void Ledger::serve(const ScheduleRecord& schedule, bool served) {
  db::Transaction transaction(database_, db::Durability::full);
  if (auto record = db::find_schedule(database_.connection(), schedule.id)) {
    record->served = served;
    db::put_schedule(database_.connection(), *record);
  }
  transaction.commit();
}

void Ledger::pause(const ScheduleRecord& schedule, const Timetable* timetable, const std::string& note,
                   sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  auto record = db::find_schedule(database_.connection(), schedule.id);
  if (!record) return;
  // What is due and was not looked at was not missed because of the pause.
  if (timetable && !record->paused_at) {
    write(*record, *timetable,
          void_slots(*timetable, record->cursor, now, SlotOutcome::missed,
                     "nobody looked at the time before it was paused"));
    record->cursor = std::max(record->cursor, settled_until(*timetable, now));
  }
  if (!record->paused_at) record->paused_at = util::now();
  record->pause_note = note;
  db::put_schedule(database_.connection(), *record);
  transaction.commit();
}

void Ledger::resume(const ScheduleRecord& schedule, const Timetable* timetable, sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  auto record = db::find_schedule(database_.connection(), schedule.id);
  if (!record) return;
  if (record->paused_at && timetable) {
    write(*record, *timetable,
          void_slots(*timetable, record->cursor, now, SlotOutcome::paused, paused_words(*record)));
    record->cursor = std::max(record->cursor, settled_until(*timetable, now));
  }
  record->paused_at.reset();
  record->pause_note.clear();
  db::put_schedule(database_.connection(), *record);
  transaction.commit();
}

}  // namespace mlops::schedule
