#include "schedule/ledger.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "engine/cancellation.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace mlops::schedule {

using std::chrono::seconds;

namespace {

bool is_alive(const std::string& claimer) {
  const auto identity = process::parse_identity(claimer);
  return identity && process::open_process(*identity);
}

std::vector<std::string> live_runs(const Workspace& workspace, db::Connection& connection,
                                   const std::string& pipeline) {
  db::RunFilter filter;
  filter.pipeline = pipeline;
  filter.state = RunState::running;
  filter.limit = 0;
  std::vector<std::string> ids;
  for (const RunRecord& run : db::list_runs(connection, filter)) {
    if (engine::liveness(workspace, run.id) != engine::Liveness::dead) ids.push_back(run.id);
  }
  return ids;
}

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

bool same_record(const ScheduleRecord& a, const ScheduleRecord& b) {
  return a.pipeline == b.pipeline && a.definition == b.definition && a.cursor == b.cursor &&
         a.served == b.served && a.removed_at == b.removed_at && a.problem == b.problem;
}

std::string paused_words(const ScheduleRecord& schedule) {
  return "paused" + (schedule.pause_note.empty() ? "" : ": " + schedule.pause_note);
}

}  // namespace

void Ledger::write(const ScheduleRecord& schedule, const std::vector<Decision>& decisions) {
  for (const Decision& decision : decisions) db::put_slot(database_.connection(), row_of(schedule, decision));
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
  const auto close = [&](const ScheduleRecord& record, const std::string& reason) {
    try {
      Schedule before = schedule_of(Json::parse(record.definition, nullptr, false));
      const Timetable old{before, pipeline::rule_of(before, record.pipeline, pipeline.directory, zones),
                          seconds(0)};
      write(record, void_slots(old, record.cursor, now, SlotOutcome::superseded, reason));
    } catch (const Error&) {
      // Its times cannot be told any more: a zone or a file of days is gone.
    }
  };
  for (const Timetable& timetable : timetables) {
    const auto found = std::ranges::find(known, timetable.entry.name, &ScheduleRecord::name);
    ScheduleRecord record;
    std::string definition = definition_of(timetable.entry).dump();
    if (found != known.end()) {
      record = *found;
      const bool gone = record.removed_at.has_value();
      const auto other_times = [&] {
        return record.definition != definition &&
               !same_times(schedule_of(Json::parse(record.definition, nullptr, false)), timetable.entry);
      };
      if (gone || other_times()) {
        if (!gone) close(record, "the entry was changed");
        record.cursor = now;
      }
    } else {
      record.file = file;
      record.name = timetable.entry.name;
      record.cursor = now;
      record.created_at = util::now();
      // One that belongs to a file that is served is served.
      record.served = std::ranges::any_of(known, &ScheduleRecord::served);
    }
    record.pipeline = pipeline.name;
    record.definition = std::move(definition);
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

std::optional<std::pair<std::string, std::string>> Ledger::in_the_way(const std::string& pipeline,
                                                                      std::int64_t but) {
  for (const std::string& id : live_runs(workspace_, database_.connection(), pipeline))
    return std::pair("run " + id + " of it is still going on", id);
  for (const SlotRecord& slot : db::claimed_slots(database_.connection(), pipeline)) {
    if (slot.fence != but && is_alive(slot.claimer))
      return std::pair("run " + slot.run_id + " of it, for the slot " + slot.local + ", is about to begin",
                       slot.run_id);
  }
  return std::nullopt;
}

// Within a transaction. None if somebody else has the slot.
std::optional<SlotRecord> Ledger::claim_row(const ScheduleRecord& schedule, sys_seconds at,
                                            const std::string& local, std::optional<SlotRecord> before) {
  db::Connection& connection = database_.connection();
  SlotRecord row = before.value_or(SlotRecord{});
  row.outcome = SlotOutcome::claimed;
  row.run_id = util::new_id();
  row.fence = db::next_fence(connection);
  row.claimer = process::to_string(process::self());
  row.decided_at = util::now();
  if (before) {
    db::update_slot(connection, row);
    return row;
  }
  row.schedule = schedule.id;
  row.at = row.until = at;
  row.local = local;
  return db::put_slot(connection, row) ? std::optional(row) : std::nullopt;
}

std::vector<Claimed> Ledger::settle(const std::vector<Entry>& entries, sys_seconds now) {
  std::vector<Claimed> claims;
  db::Transaction transaction(database_, db::Durability::full);
  for (const Entry& entry : entries) settle_one(entry, now, claims);
  transaction.commit();
  return claims;
}

void Ledger::settle_one(const Entry& entry, sys_seconds now, std::vector<Claimed>& claims) {
  db::Connection& connection = database_.connection();
  const Timetable& timetable = *entry.timetable;
  auto current = db::find_schedule(connection, entry.record.id);  // another process may have changed it
  if (!current || current->removed_at) return;
  const sys_seconds until = settled_until(timetable, now);
  if (current->cursor > until + small_step) {
    db::forget_slots_after(connection, current->id, until);
    db::set_cursor(connection, current->id, until);
    return;
  }
  if (until <= current->cursor) return;
  db::set_cursor(connection, current->id, until);
  if (current->paused_at)
    return write(*current,
                 void_slots(timetable, current->cursor, now, SlotOutcome::paused, paused_words(*current)));
  for (const Decision& decision : decide(timetable, current->cursor, now)) {
    if (decision.outcome != SlotOutcome::claimed) {
      db::put_slot(connection, row_of(*current, decision));
      continue;
    }
    // What is made up for takes turns, else all but the first would be skipped.
    const bool made_up = timetable.entry.catchup == Catchup::all && until - decision.at > on_time;
    const Overlap overlap =
        made_up && timetable.entry.overlap == Overlap::skip ? Overlap::queue : timetable.entry.overlap;
    if (overlap == Overlap::skip) {
      if (const auto other = in_the_way(current->pipeline)) {
        SlotRecord row = row_of(*current, decision);
        row.outcome = SlotOutcome::skipped;
        row.reason = other->first;
        row.run_id = other->second;
        db::put_slot(connection, row);
        continue;
      }
    }
    if (const auto row = claim_row(*current, decision.at, decision.local, std::nullopt))
      claims.push_back({{*row->fence, row->run_id}, current->id, current->pipeline, row->local, overlap});
  }
}

std::vector<Claimed> Ledger::recover(const std::vector<Entry>& entries, sys_seconds now) {
  std::vector<Claimed> claims;
  db::Transaction transaction(database_, db::Durability::full);
  db::Connection& connection = database_.connection();
  for (SlotRecord& slot :
       db::list_slots(connection, {.schedule = {}, .since = {}, .outcome = SlotOutcome::claimed})) {
    const auto entry =
        std::ranges::find_if(entries, [&](const Entry& e) { return e.record.id == slot.schedule; });
    if (entry == entries.end() || is_alive(slot.claimer)) continue;
    const Timetable& timetable = *entry->timetable;
    const bool too_late = settled_until(timetable, now) - slot.at > on_time;
    if (too_late && timetable.entry.catchup == Catchup::none) {
      slot.outcome = SlotOutcome::missed;
      slot.reason = "the process that had claimed it died before the run began, and `catchup` is none";
      slot.run_id.clear();
      db::update_slot(connection, slot);
    } else if (const auto row = claim_row(entry->record, slot.at, slot.local, slot)) {
      const Overlap overlap =
          timetable.entry.overlap == Overlap::skip ? Overlap::queue : timetable.entry.overlap;
      claims.push_back(
          {{*row->fence, row->run_id}, slot.schedule, entry->record.pipeline, row->local, overlap});
    }
  }
  transaction.commit();
  return claims;
}

void Ledger::refuse(const std::vector<Entry>& entries, sys_seconds now, const std::string& why) {
  db::Transaction transaction(database_, db::Durability::full);
  for (const Entry& entry : entries) {
    auto current = db::find_schedule(database_.connection(), entry.record.id);
    if (!current || current->removed_at) continue;
    const sys_seconds until = settled_until(*entry.timetable, now);
    write(*current, void_slots(*entry.timetable, current->cursor, now, SlotOutcome::rejected, why));
    current->cursor = std::max(current->cursor, until);
    current->problem = why;
    db::put_schedule(database_.connection(), *current);
  }
  transaction.commit();
}

// Claims of dead processes that nobody will take over: they are for other slots than the one that is asked
// for.
void Ledger::bury(std::int64_t schedule, sys_seconds but) {
  for (SlotRecord& slot : db::list_slots(
           database_.connection(), {.schedule = schedule, .since = {}, .outcome = SlotOutcome::claimed})) {
    if (slot.at == but || is_alive(slot.claimer)) continue;
    slot.outcome = SlotOutcome::missed;
    slot.reason = "the process that had claimed it died before the run began";
    slot.run_id.clear();
    db::update_slot(database_.connection(), slot);
  }
}

Answer Ledger::claim(const Pipeline& pipeline, std::optional<std::string> at, sys_seconds now) {
  if (pipeline.schedules.empty()) {
    throw Error(ExitCode::usage, "'" + pipeline.file + "' has no schedule, so it has no slots",
                "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
  }
  pipeline::Zones zones;
  const std::vector<Timetable> all = timetables(pipeline, zones);
  // Which entry, and which of its slots.
  const Timetable* timetable = nullptr;
  sys_seconds slot{};
  for (const Timetable& each : all) {
    std::optional<sys_seconds> time;
    if (at) {
      const sys_seconds wanted = calendar::read_time(*at, *each.rule.zone);
      if (calendar::next_fire(each.rule, wanted - seconds(1)) == wanted) time = wanted;
    } else {
      time = calendar::last_fire(each.rule, now);
    }
    if (time && (!timetable || *time > slot)) timetable = &each, slot = *time;
  }
  if (!timetable) {
    const auto next = calendar::next_fire(all.front().rule, now);
    throw Error(ExitCode::usage,
                at ? "'" + pipeline.file + "' has no slot at " + *at
                   : "no slot of '" + pipeline.file + "' has come yet",
                next ? "the next one is " + all.front().text(*next) + "; see `mlops schedule next`"
                     : "see `mlops schedule next`");
  }
  if (slot > now)
    throw Error(ExitCode::usage, "the slot " + timetable->text(slot) + " is yet to come",
                "slots are run when their time has come");

  const std::vector<ScheduleRecord> records = adopt(pipeline, all, now);
  Answer answer;
  answer.local = timetable->text(slot);
  db::Transaction transaction(database_, db::Durability::full);
  db::Connection& connection = database_.connection();
  const auto rows = db::schedules_of(connection, records.front().file);
  const ScheduleRecord schedule = *std::ranges::find(rows, timetable->entry.name, &ScheduleRecord::name);
  if (!schedule.served) bury(schedule.id, slot);
  // What was due before it and has no outcome yet.
  if (slot > schedule.cursor) {
    for (Decision& decision : decide(*timetable, schedule.cursor, slot - seconds(1) + timetable->delay)) {
      if (decision.outcome == SlotOutcome::claimed) {
        const bool one_for_all = timetable->entry.catchup == Catchup::last;
        decision.outcome = one_for_all ? SlotOutcome::coalesced : SlotOutcome::missed;
        decision.reason = one_for_all ? "one run for all that were missed: " + answer.local
                                      : "nobody looked at the time, and `run --slot` makes up for none";
      } else if (decision.outcome == SlotOutcome::coalesced) {
        decision.reason = "one run for all that were missed: " + answer.local;
      }
      db::put_slot(connection, row_of(schedule, decision));
    }
    db::set_cursor(connection, schedule.id, slot);
  }
  const auto refuse = [&](std::string why, std::string run_id) {
    answer.refusal = std::move(why);
    answer.run_id = std::move(run_id);
    transaction.commit();
    return answer;
  };
  const auto refuse_as = [&](SlotOutcome outcome, const std::string& why, const std::string& run_id,
                             bool is_new) {
    SlotRecord row = row_of(schedule, {slot, answer.local, outcome, why, slot, 1});
    row.run_id = run_id;
    if (is_new) db::put_slot(connection, row);
    return refuse(why, run_id);
  };
  const std::optional<SlotRecord> before = db::find_slot(connection, schedule.id, slot);
  if (before && before->outcome == SlotOutcome::ran) {
    const auto run = db::find_run(connection, before->run_id);
    return refuse(
        "run " + before->run_id + " has it" + (run ? std::string(" (") + to_string(run->state) + ")" : ""),
        before->run_id);
  }
  if (before && before->outcome == SlotOutcome::claimed && is_alive(before->claimer))
    return refuse("run " + before->run_id + " has it and is about to begin", before->run_id);
  if (before && before->outcome != SlotOutcome::claimed && !at)
    return refuse(std::string("it was ") + to_string(before->outcome) + ": " + before->reason,
                  before->run_id);
  if (schedule.paused_at) return refuse_as(SlotOutcome::paused, paused_words(schedule), "", !before);
  const seconds late = now - slot;
  if (!at && timetable->entry.start_within.count() > 0 && late > timetable->entry.start_within)
    return refuse_as(SlotOutcome::missed, "`start_within` has passed", "", !before);
  if (timetable->entry.overlap == Overlap::skip) {
    if (const auto other = in_the_way(pipeline.name, before ? before->fence.value_or(0) : 0))
      return refuse_as(SlotOutcome::skipped, other->first, other->second, !before);
  }
  std::optional<SlotRecord> kept = before;
  if (kept && kept->outcome != SlotOutcome::claimed)
    kept->reason = std::string("was ") + to_string(kept->outcome) + ", then asked for";
  if (const auto row = claim_row(schedule, slot, answer.local, kept))
    answer.claimed =
        Claimed{{*row->fence, row->run_id}, schedule.id, pipeline.name, row->local, timetable->entry.overlap};
  transaction.commit();
  return answer;
}

std::optional<Claimed> Ledger::take_over(std::int64_t fence) {
  db::Transaction transaction(database_, db::Durability::full);
  auto slot = db::slot_with_fence(database_.connection(), fence);
  if (!slot || slot->outcome != SlotOutcome::claimed) return std::nullopt;
  slot->claimer = process::to_string(process::self());
  db::update_slot(database_.connection(), *slot);
  Claimed claimed{{fence, slot->run_id}, slot->schedule, {}, slot->local, Overlap::queue};
  for (const ScheduleRecord& schedule : db::schedules(database_.connection())) {
    if (schedule.id != slot->schedule) continue;
    claimed.pipeline = schedule.pipeline;
    const Overlap overlap = schedule_of(Json::parse(schedule.definition, nullptr, false)).overlap;
    // Where nothing was in the way, nothing is waited for.
    if (overlap != Overlap::skip) claimed.overlap = overlap;
  }
  transaction.commit();
  return claimed;
}

void Ledger::reject(std::int64_t fence, const std::string& reason) {
  db::Transaction transaction(database_, db::Durability::full);
  auto slot = db::slot_with_fence(database_.connection(), fence);
  if (!slot || slot->outcome != SlotOutcome::claimed) return;
  slot->outcome = SlotOutcome::rejected;
  slot->reason = reason;
  slot->run_id.clear();
  slot->decided_at = util::now();
  db::update_slot(database_.connection(), *slot);
  transaction.commit();
}

void Ledger::pause(const ScheduleRecord& schedule, const Timetable* timetable, const std::string& note,
                   sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  ScheduleRecord record = schedule;
  // What is due and was not looked at was not missed because of the pause.
  if (timetable && !record.paused_at) {
    write(record, void_slots(*timetable, record.cursor, now, SlotOutcome::missed,
                             "nobody looked at the time before it was paused"));
    record.cursor = std::max(record.cursor, settled_until(*timetable, now));
  }
  if (!record.paused_at) record.paused_at = util::now();
  record.pause_note = note;
  db::put_schedule(database_.connection(), record);
  transaction.commit();
}

void Ledger::resume(const ScheduleRecord& schedule, const Timetable* timetable, sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  ScheduleRecord record = schedule;
  if (record.paused_at && timetable) {
    write(record, void_slots(*timetable, record.cursor, now, SlotOutcome::paused, paused_words(record)));
    record.cursor = std::max(record.cursor, settled_until(*timetable, now));
  }
  record.paused_at.reset();
  record.pause_note.clear();
  db::put_schedule(database_.connection(), record);
  transaction.commit();
}

void make_way(const Workspace& workspace, db::Database& database, const Claimed& claimed,
              const std::function<void(const std::string&)>& say) {
  if (claimed.overlap != Overlap::queue && claimed.overlap != Overlap::replace) return;
  bool told = false;
  while (true) {
    std::string other;
    for (const std::string& id : live_runs(workspace, database.connection(), claimed.pipeline)) {
      if (claimed.overlap == Overlap::replace) {
        say("ending run " + id + ", which this one replaces");
        engine::cancel_run(workspace, database, id, {});
      } else {
        other = id;
      }
    }
    if (claimed.overlap == Overlap::queue && other.empty()) {
      // Those that were claimed before come first.
      for (const SlotRecord& slot : db::claimed_slots(database.connection(), claimed.pipeline)) {
        if (slot.fence < claimed.claim.fence && is_alive(slot.claimer)) other = slot.run_id;
      }
    }
    if (other.empty()) return;
    if (!std::exchange(told, true)) say("waiting for run " + other + " of the same pipeline");
    ::usleep(200'000);
  }
}

}  // namespace mlops::schedule
