#include "schedule/ledger.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"
#include "schedule/rows.hpp"
#include "util/time.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace mlops::schedule {

using std::chrono::seconds;

namespace {

bool same_record(const ScheduleRecord& a, const ScheduleRecord& b) {
  return a.pipeline == b.pipeline && a.definition == b.definition && a.cursor == b.cursor &&
         a.served == b.served && a.removed_at == b.removed_at && a.paused_at == b.paused_at &&
         a.problem == b.problem;
}

// Of an entry that is called differently now and has its times as before: it is the same one, and what it ran
// is not run again.
ScheduleRecord* find_renamed(std::vector<ScheduleRecord>& known, const std::vector<Timetable>& timetables,
                             const Json& definition) {
  for (ScheduleRecord& record : known) {
    const bool there = std::ranges::any_of(
        timetables, [&](const Timetable& timetable) { return timetable.entry.name == record.name; });
    if (!there && !record.removed_at &&
        same_times(Json::parse(record.definition, nullptr, false), definition))
      return &record;
  }
  return nullptr;
}

// A pause is one of the whole pipeline: what its file has anew is paused with the rest.
void share_pause(ScheduleRecord& record, const std::vector<ScheduleRecord>& known) {
  const ScheduleRecord* paused = nullptr;
  for (const ScheduleRecord& other : known) {
    if (other.removed_at) continue;
    paused = &other;
    if (!other.paused_at) break;
  }
  if (!paused) return;
  record.paused_at = paused->paused_at;
  record.pause_note = paused->pause_note;
}

// When the file came to say what it says, by the file system's word.
sys_seconds last_edit(const std::string& file, sys_seconds now) {
  struct stat st {};
  return ::stat(file.c_str(), &st) == 0 ? sys_seconds(seconds(st.st_ctim.tv_sec)) : now;
}

}  // namespace

std::vector<ScheduleRecord> Ledger::adopt(const Pipeline& pipeline, const std::vector<Timetable>& timetables,
                                          sys_seconds now, std::optional<bool> serve,
                                          sys_seconds changed_after) {
  const std::string file = workspace_.relative(pipeline.file);
  db::Connection& connection = database_.connection();
  db::Transaction transaction(database_, db::Durability::full);
  std::vector<ScheduleRecord> known = db::schedules_of(connection, file);
  std::vector<ScheduleRecord> result;
  std::unordered_map<std::string, std::ptrdiff_t> places;  // of the names: there may be thousands
  for (const ScheduleRecord& record : known) places.emplace(record.name, std::ssize(places));
  pipeline::Zones zones;
  const sys_seconds edited =
      known.empty() ? now : std::min(now, std::max(changed_after, last_edit(pipeline.file, now)));
  // Slots of an entry as it was, which nobody looked at before it was changed.
  const auto close = [&](ScheduleRecord& record, const std::string& reason) {
    try {
      Schedule before = schedule_of(Json::parse(record.definition, nullptr, false));
      const Timetable old{before, pipeline::rule_of(before, record.pipeline, pipeline.directory, zones),
                          seconds(0)};
      begin_anew(record, now);
      const sys_seconds from = open_after(record, old, edited, now);
      write(record, old, void_slots(old, from, edited, SlotOutcome::superseded, reason), now);
    } catch (const Error&) {
      // Its times cannot be told any more: a zone or a file of days is gone.
    }
  };
  for (const Timetable& timetable : timetables) {
    const Json definition = definition_of(timetable);
    std::string text = definition.dump();
    const auto place = places.find(timetable.entry.name);
    auto found = place == places.end() ? known.end() : known.begin() + place->second;
    if (found == known.end()) {
      if (ScheduleRecord* renamed = find_renamed(known, timetables, definition)) {
        renamed->name = timetable.entry.name;
        db::rename_schedule(connection, renamed->id, renamed->name);
        found = known.begin() + (renamed - known.data());
      }
    }
    ScheduleRecord record;
    if (found != known.end()) {
      record = *found;
      const bool gone = record.removed_at.has_value();
      const auto other_times = [&] {
        return record.definition != text &&
               !same_times(Json::parse(record.definition, nullptr, false), definition);
      };
      if (gone || other_times()) {
        const sys_seconds decided = std::max(record.cursor, db::last_slot(connection, record.id));
        if (gone) share_pause(record, known);
        if (!gone) close(record, "the entry was changed");
        record.cursor = std::min(now, std::max(edited, decided));
        // Whether the clock was ahead before or is behind now: these times were those of the entry as it was.
        record.since = std::max({record.since, record.cursor, decided});
      }
    } else {
      record.file = file;
      record.name = timetable.entry.name;
      record.cursor = record.since = edited;
      record.created_at = util::now();
      // One that belongs to a file that is served is served.
      record.served = std::ranges::any_of(known, &ScheduleRecord::served);
      share_pause(record, known);
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
  std::unordered_set<std::string_view> there;
  for (const ScheduleRecord& record : result) there.insert(record.name);
  for (ScheduleRecord& record : known) {
    if (record.removed_at || there.contains(record.name)) continue;
    close(record, "the entry was removed");
    close_waiting(record, SlotOutcome::superseded, "the entry was removed; it waited for its run to begin",
                  now);
    record.removed_at = util::now();
    record.cursor = std::max(record.cursor, edited);
    db::put_schedule(connection, record);
  }
  transaction.commit();
  return result;
}

// What was claimed and has not begun. Whoever waits with it, or is about to begin, finds out; what the dead
// have claimed nobody would look at any more.
void Ledger::close_waiting(const ScheduleRecord& schedule, SlotOutcome outcome, const std::string& reason,
                           sys_seconds now) {
  for (SlotRecord& slot : db::list_slots(
           database_.connection(), {.schedule = schedule.id, .since = {}, .outcome = SlotOutcome::claimed})) {
    if (outcome == SlotOutcome::superseded && is_dead(slot)) {
      close_dead(slot, SlotOutcome::missed, died, now);
    } else {
      close_dead(slot, outcome, reason, now);
    }
    db::update_slot(database_.connection(), slot);
  }
}

void Ledger::serve(const ScheduleRecord& schedule, bool served) {
  db::Transaction transaction(database_, db::Durability::full);
  if (auto record = db::find_schedule(database_.connection(), schedule.id)) {
    record->served = served;
    db::put_schedule(database_.connection(), *record);
    if (!served)
      close_waiting(*record, SlotOutcome::superseded,
                    "it is not served any more; it waited for its run to begin",
                    std::chrono::floor<std::chrono::seconds>(util::now()));
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
    const sys_seconds until = settled_until(*timetable, now);
    const sys_seconds from = open_after(*record, *timetable, until, now);
    std::vector<Decision> decisions = void_slots(*timetable, from, now, SlotOutcome::missed, "");
    for (Decision& decision : decisions) {
      if (decision.outcome == SlotOutcome::missed)
        make_missed(decision, *timetable, from + timetable->delay, now, "before it was paused");
    }
    write(*record, *timetable, decisions, now);
    record->cursor = std::max(record->cursor, until);
  }
  if (!note.empty() || !record->paused_at) record->pause_note = note;
  if (!record->paused_at) record->paused_at = util::now();
  db::put_schedule(database_.connection(), *record);
  close_waiting(*record, SlotOutcome::paused, paused_words(*record) + "; it waited for its run to begin",
                now);
  transaction.commit();
}

void Ledger::resume(const ScheduleRecord& schedule, const Timetable* timetable, sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  auto record = db::find_schedule(database_.connection(), schedule.id);
  if (!record) return;
  if (record->paused_at && timetable) {
    const sys_seconds until = settled_until(*timetable, now);
    const sys_seconds from = open_after(*record, *timetable, until, now);
    write(*record, *timetable, void_slots(*timetable, from, now, SlotOutcome::paused, paused_words(*record)),
          now);
    record->cursor = std::max(record->cursor, until);
  }
  record->paused_at.reset();
  record->pause_note.clear();
  db::put_schedule(database_.connection(), *record);
  transaction.commit();
}

}  // namespace mlops::schedule
