// How slots are claimed, and what becomes of those that are not.
#include <mlops/error.hpp>

#include "db/backfills.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "engine/cancellation.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "schedule/ledger.hpp"
#include "schedule/limits.hpp"
#include "schedule/rows.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace mlops::schedule {

using std::chrono::seconds;

namespace {

// But for those of backfills: they are in nobody's way.
std::vector<std::string> live_runs(const Workspace& workspace, db::Connection& connection,
                                   const std::string& pipeline) {
  db::RunFilter filter;
  filter.pipeline = pipeline;
  filter.state = RunState::running;
  filter.limit = 0;
  std::vector<std::string> ids;
  for (const RunRecord& run : db::list_runs(connection, filter)) {
    if (engine::liveness(workspace, run.id) != engine::Liveness::dead &&
        !db::is_of_backfill(connection, run.id))
      ids.push_back(run.id);
  }
  return ids;
}

Overlap overlap_of(const std::string& text) {
  for (const Overlap each : {Overlap::queue, Overlap::replace})
    if (text == to_string(each)) return each;
  return Overlap::allow;
}

const db::SlotFilter open_claims{.schedule = {}, .since = {}, .outcome = SlotOutcome::claimed};

bool is_dead(const SlotRecord& slot) { return !process::is_alive(slot.claimer); }

constexpr const char* died = "the process that had claimed it died before the run began";

// The last slot after `at` that ran or is to run.
std::optional<std::string> later_run(db::Connection& connection, std::int64_t schedule, sys_seconds at) {
  std::optional<std::string> later;
  for (const SlotRecord& slot :
       db::list_slots(connection, {.schedule = schedule, .since = at + seconds(1), .outcome = {}})) {
    if (slot.outcome == SlotOutcome::ran || slot.outcome == SlotOutcome::claimed) later = slot.local;
  }
  return later;
}

}  // namespace

/// A slot that a decision wants to run.
struct Ledger::ToRun {
  ScheduleRecord schedule;
  Decision decision;
  Overlap overlap = Overlap::skip;
};

std::optional<std::pair<std::string, std::string>> Ledger::in_the_way(const std::string& pipeline) {
  for (const std::string& id : live_runs(workspace_, database_.connection(), pipeline))
    return std::pair("run " + id + " of it is still going on", id);
  for (const SlotRecord& slot : db::claimed_slots(database_.connection(), pipeline)) {
    if (process::is_alive(slot.claimer))
      return std::pair("run " + slot.run_id + " of it, for the slot " + slot.local + ", is about to begin",
                       slot.run_id);
  }
  return std::nullopt;
}

// Within a transaction. `before` is the row that the slot has.
Claimed Ledger::claim_row(const ScheduleRecord& schedule, sys_seconds at, const std::string& local,
                          Overlap overlap, const std::optional<SlotRecord>& before) {
  db::Connection& connection = database_.connection();
  SlotRecord row = before.value_or(SlotRecord{});
  row.outcome = SlotOutcome::claimed;
  row.run_id = util::new_id();
  row.fence = db::next_fence(connection);
  row.claimer = process::to_string(process::self());
  row.decided_at = util::now();
  row.overlap = to_string(overlap);
  row.going = false;
  if (before) {
    db::update_slot(connection, row);
  } else {
    row.schedule = schedule.id;
    row.at = row.until = at;
    row.local = local;
    db::put_slot(connection, row);
  }
  return {{*row.fence, row.run_id}, schedule.id, schedule.pipeline, at, local, overlap_of(row.overlap)};
}

std::vector<Claimed> Ledger::settle(const std::vector<Entry>& entries, sys_seconds now) {
  std::vector<Claimed> claims;
  std::vector<ToRun> to_run;
  db::Transaction transaction(database_, db::Durability::full);
  for (const Entry& entry : entries) settle_one(entry, now, to_run);
  // Whatever schedule they are of, the oldest comes first.
  std::ranges::stable_sort(to_run, {}, [](const ToRun& slot) { return slot.decision.at; });
  for (const ToRun& slot : to_run) {
    if (auto claimed = claim_or_skip(slot)) claims.push_back(std::move(*claimed));
  }
  transaction.commit();
  return claims;
}

void Ledger::settle_one(const Entry& entry, sys_seconds now, std::vector<ToRun>& to_run) {
  db::Connection& connection = database_.connection();
  const Timetable& timetable = *entry.timetable;
  auto current = db::find_schedule(connection, entry.record.id);  // another process may have changed it
  if (!current || current->removed_at || begin_anew(*current, timetable, now)) return;
  const sys_seconds until = settled_until(timetable, now);
  if (until <= current->cursor) return;
  db::set_cursor(connection, current->id, until);
  if (current->paused_at)
    return write(*current, timetable,
                 void_slots(timetable, current->cursor, now, SlotOutcome::paused, paused_words(*current)));
  const std::vector<Decision> decisions = decide(timetable, current->cursor, now);
  const auto wanted = std::ranges::count(decisions, SlotOutcome::claimed, &Decision::outcome);
  // Of many that are made up for each has its turn, whatever is done about one that is due.
  const bool in_turn = timetable.entry.catchup == Catchup::all && wanted > 1;
  for (const Decision& decision : decisions) {
    if (decision.outcome == SlotOutcome::claimed) {
      to_run.push_back({*current, decision, in_turn ? Overlap::queue : timetable.entry.overlap});
    } else {
      write(*current, timetable, {decision});
    }
  }
}

std::optional<Claimed> Ledger::claim_or_skip(const ToRun& slot) {
  db::Connection& connection = database_.connection();
  if (db::find_slot(connection, slot.schedule.id, slot.decision.at))
    return std::nullopt;  // asked for by hand
  std::optional<std::pair<std::string, std::string>> other;
  if (slot.overlap == Overlap::skip) {
    other = in_the_way(slot.schedule.pipeline);
  } else if (slot.overlap == Overlap::queue &&
             db::claimed_slots(connection, slot.schedule.pipeline).size() >= longest_queue) {
    other = std::pair("the queue is full: " + std::to_string(longest_queue) + " slots wait", std::string());
  }
  if (!other)
    return claim_row(slot.schedule, slot.decision.at, slot.decision.local, slot.overlap, std::nullopt);
  SlotRecord row = row_of(slot.schedule, slot.decision);
  row.outcome = SlotOutcome::skipped;
  row.reason = other->first;
  row.run_id = other->second;
  db::put_slot(connection, row);
  return std::nullopt;
}

bool Ledger::has_dead_claims() {
  return std::ranges::any_of(db::list_slots(database_.connection(), open_claims), is_dead);
}

std::vector<Claimed> Ledger::recover(const std::vector<Entry>& entries, sys_seconds now) {
  std::vector<Claimed> claims;
  db::Connection& connection = database_.connection();
  db::Transaction transaction(database_, db::Durability::full);
  for (SlotRecord& slot : db::list_slots(connection, open_claims)) {
    const auto entry =
        std::ranges::find_if(entries, [&](const Entry& e) { return e.record.id == slot.schedule; });
    const auto current = db::find_schedule(connection, slot.schedule);
    if (entry == entries.end() || !current || !is_dead(slot)) continue;
    const Schedule& policy = entry->timetable->entry;
    const seconds late = settled_until(*entry->timetable, now) - slot.at;
    const auto later =
        policy.catchup == Catchup::last ? later_run(connection, slot.schedule, slot.at) : std::nullopt;
    slot.outcome = SlotOutcome::missed;
    slot.reason = died;
    if (current->paused_at) {
      slot.outcome = SlotOutcome::paused;
      slot.reason = paused_words(*current);
    } else if (current->removed_at) {
      slot.reason += ", and the entry was removed";
    } else if (late > on_time && policy.catchup == Catchup::none) {
      slot.reason += ", and `catchup` is none";
    } else if (policy.start_within.count() > 0 && late > policy.start_within) {
      slot.reason += ", and `start_within` has passed";
    } else if (later) {
      slot.outcome = SlotOutcome::coalesced;
      slot.reason += ": one run for all that were missed: " + *later;
    } else {
      const Overlap overlap =
          slot.overlap == to_string(Overlap::skip) ? Overlap::queue : overlap_of(slot.overlap);
      claims.push_back(claim_row(*current, slot.at, slot.local, overlap, slot));
      continue;
    }
    slot.run_id.clear();
    db::update_slot(connection, slot);
  }
  transaction.commit();
  return claims;
}

void Ledger::refuse(const std::vector<Entry>& entries, sys_seconds now, const std::string& why) {
  db::Transaction transaction(database_, db::Durability::full);
  for (const Entry& entry : entries) {
    auto current = db::find_schedule(database_.connection(), entry.record.id);
    if (!current || current->removed_at) continue;
    begin_anew(*current, *entry.timetable, now);
    const sys_seconds until = settled_until(*entry.timetable, now);
    write(*current, *entry.timetable,
          void_slots(*entry.timetable, current->cursor, now, SlotOutcome::rejected, why));
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
    if (slot.at == but || process::is_alive(slot.claimer)) continue;
    slot.outcome = SlotOutcome::missed;
    slot.reason = died;
    slot.run_id.clear();
    db::update_slot(database_.connection(), slot);
  }
}

// The row of one slot; one that stands for many is divided first. Within a transaction.
std::optional<SlotRecord> Ledger::row_at(const ScheduleRecord& schedule, const Timetable& timetable,
                                         sys_seconds at) {
  db::Connection& connection = database_.connection();
  auto many = db::slots_around(connection, schedule.id, at, schedule.since);
  if (!many) return db::find_slot(connection, schedule.id, at);
  std::int64_t before = 0;
  sys_seconds last = many->at;
  for (auto next = std::optional(many->at); next && *next < at;
       next = calendar::next_fire(timetable.rule, *next)) {
    ++before;
    last = *next;
  }
  SlotRecord one = *many, after = *many;
  after.slots = many->slots - before - 1;
  db::delete_slot(connection, many->id);
  if (before > 0) {
    many->slots = before;
    many->until = last;
    db::put_slot(connection, *many);
  }
  if (const auto next = calendar::next_fire(timetable.rule, at); next && after.slots > 0) {
    after.at = *next;
    after.local = timetable.text(*next);
    db::put_slot(connection, after);
  }
  one.at = one.until = at;
  one.local = timetable.text(at);
  one.slots = 1;
  db::put_slot(connection, one);
  return db::find_slot(connection, schedule.id, at);
}

std::optional<SlotRecord> Ledger::set_apart(const ScheduleRecord& schedule, const Timetable& timetable,
                                            sys_seconds at) {
  auto slot = row_at(schedule, timetable, at);
  if (slot && slot->outcome == SlotOutcome::claimed && is_dead(*slot)) {
    slot->outcome = SlotOutcome::missed;
    slot->reason = died;
    slot->run_id.clear();
    db::update_slot(database_.connection(), *slot);
  }
  return slot;
}

Answer Ledger::claim(const Pipeline& pipeline, std::optional<std::string> at, sys_seconds now) {
  pipeline::Zones zones;
  const std::vector<Timetable> all = require_timetables(pipeline, zones);
  const auto slots = slots_meant(pipeline.file, all, at, now);
  std::vector<ScheduleRecord> records = adopt(pipeline, all, now);
  db::Transaction transaction(database_, db::Durability::full);
  db::Connection& connection = database_.connection();
  Answer first;  // why the newest of them is not run
  for (const auto& meant : slots) {
    const sys_seconds slot = meant.first;
    const Timetable& timetable = all[meant.second];
    auto schedule = db::find_schedule(connection, records[meant.second].id);
    if (!schedule) continue;
    begin_anew(*schedule, timetable, now);
    Answer answer;
    answer.local = timetable.text(slot);
    if (!schedule->served) bury(schedule->id, slot);
    // What was due before it and has no outcome yet.
    if (slot > schedule->cursor) {
      std::vector<Decision> decisions = schedule->paused_at
                                            ? void_slots(timetable, schedule->cursor, slot + timetable.delay,
                                                         SlotOutcome::paused, paused_words(*schedule))
                                            : decide(timetable, schedule->cursor, slot + timetable.delay);
      // Times that clocks skip until then are told, but the slot itself has its answer below.
      std::erase_if(decisions, [&](const Decision& decision) {
        return decision.at == slot && decision.outcome != SlotOutcome::gap;
      });
      for (Decision& decision : decisions) {
        if (decision.outcome != SlotOutcome::claimed) continue;
        decision.outcome = SlotOutcome::missed;
        decision.reason = "nobody looked at the time, and `run --slot` makes up for none";
      }
      write(*schedule, timetable, decisions);
      db::set_cursor(connection, schedule->id, slot);
    }
    const std::optional<SlotRecord> before = row_at(*schedule, timetable, slot);
    const auto refuse_as = [&](SlotOutcome outcome, const std::string& why, const std::string& run_id) {
      answer.refusal = why;
      answer.run_id = run_id;
      if (before && before->outcome != SlotOutcome::claimed) return;
      SlotRecord row = row_of(*schedule, {slot, answer.local, outcome, why, slot, 1});
      row.run_id = run_id;
      if (before) {
        row.id = before->id;
        row.fence = before->fence;
        db::update_slot(connection, row);
      } else {
        db::put_slot(connection, row);
      }
    };
    const bool open =
        !before || (before->outcome == SlotOutcome::claimed && !process::is_alive(before->claimer));
    if (before && before->outcome == SlotOutcome::ran) {
      const auto run = db::find_run(connection, before->run_id);
      answer.run_id = before->run_id;
      answer.refusal =
          "run " + before->run_id + " has it" + (run ? std::string(" (") + to_string(run->state) + ")" : "");
    } else if (before && before->outcome == SlotOutcome::claimed && !open) {
      answer.run_id = before->run_id;
      answer.refusal = "run " + before->run_id + " has it and is about to begin";
    } else if (!open && !at) {
      answer.run_id = before->run_id;
      answer.refusal = std::string("it was ") + to_string(before->outcome) + ": " + before->reason;
    } else if (schedule->paused_at) {
      refuse_as(SlotOutcome::paused, paused_words(*schedule), "");
    } else if (!at && timetable.entry.start_within.count() > 0 && now - slot > timetable.entry.start_within) {
      refuse_as(SlotOutcome::missed, "`start_within` has passed", "");
    } else {
      std::optional<std::pair<std::string, std::string>> other;
      if (timetable.entry.overlap == Overlap::skip) other = in_the_way(pipeline.name);
      if (other) {
        refuse_as(SlotOutcome::skipped, other->first, other->second);
      } else {
        std::optional<SlotRecord> kept = before;
        if (kept && kept->outcome != SlotOutcome::claimed)
          kept->reason = std::string("was ") + to_string(kept->outcome) + ", then asked for";
        answer.claimed = claim_row(*schedule, slot, answer.local, timetable.entry.overlap, kept);
        transaction.commit();
        return answer;
      }
    }
    if (first.local.empty()) first = std::move(answer);
  }
  transaction.commit();
  return first;
}

std::optional<Claimed> Ledger::take_over(std::int64_t fence, sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  db::Connection& connection = database_.connection();
  auto slot = db::slot_with_fence(connection, fence);
  if (!slot || slot->outcome != SlotOutcome::claimed) return std::nullopt;
  const auto schedule = db::find_schedule(connection, slot->schedule);
  if (!schedule) return std::nullopt;
  const Schedule policy = schedule_of(Json::parse(schedule->definition, nullptr, false));
  const seconds late = now - slot->at - pipeline::delay_of(policy, schedule->pipeline);
  if (policy.start_within.count() > 0 && late > policy.start_within) {
    slot->outcome = SlotOutcome::missed;
    slot->reason = "it had to wait, and `start_within` has passed";
    slot->run_id.clear();
    db::update_slot(connection, *slot);
    transaction.commit();
    return std::nullopt;
  }
  slot->claimer = process::to_string(process::self());
  db::update_slot(connection, *slot);
  transaction.commit();
  return Claimed{{fence, slot->run_id}, slot->schedule,           schedule->pipeline, slot->at,
                 slot->local,           overlap_of(slot->overlap)};
}

SlotValues Ledger::values_of(const Claimed& claimed) {
  const auto schedule = db::find_schedule(database_.connection(), claimed.schedule);
  if (!schedule) throw Error(ExitCode::usage, "the schedule of the slot " + claimed.local + " is gone");
  pipeline::Zones zones;
  return slot_values(timetable_of(*schedule, workspace_.root(), zones), claimed.at);
}

Permission Ledger::let_go(std::int64_t fence, const Wish& wish, const workspace::Config& limits) {
  db::Transaction transaction(database_);
  db::Connection& connection = database_.connection();
  Admission admission(limits, util::now(), [&] { return load_of(workspace_, connection); }, {});
  auto slot = db::slot_with_fence(connection, fence);
  const bool ours = slot && slot->outcome == SlotOutcome::claimed;
  if (ours && !admission.hold(wish).empty()) return {false, admission.next(), admission.holders()};
  if (ours) {
    slot->going = true;
    db::update_slot(connection, *slot);
  }
  transaction.commit();
  return {true, {}, {}};  // of one that is not ours any more its process says so
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

void make_way(const Workspace& workspace, db::Database& database, const Claimed& claimed,
              const std::function<void(const std::string&)>& say) {
  if (claimed.overlap == Overlap::allow) return;
  bool told = false;
  while (true) {
    db::Connection& connection = database.connection();
    std::string other;
    for (const std::string& id : live_runs(workspace, connection, claimed.pipeline)) {
      const auto slot = db::slot_of_run(connection, id);
      // A run of a later slot is not replaced by an earlier one.
      if (claimed.overlap == Overlap::replace && !(slot && slot->fence > claimed.claim.fence)) {
        say("ending run " + id + ", which this one replaces");
        engine::cancel_run(workspace, database, id, {});
      } else {
        other = id;
      }
    }
    // Those that were claimed before come first.
    for (const SlotRecord& slot : db::claimed_slots(connection, claimed.pipeline)) {
      if (slot.fence < claimed.claim.fence && process::is_alive(slot.claimer)) other = slot.run_id;
    }
    if (other.empty()) return;
    if (!std::exchange(told, true)) say("waiting for run " + other + " of the same pipeline");
    ::usleep(200'000);
  }
}

}  // namespace mlops::schedule
