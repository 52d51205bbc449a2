// How slots are claimed, and what becomes of those that are not.
#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "process/identity.hpp"
#include "schedule/ledger.hpp"
#include "schedule/limits.hpp"
#include "schedule/rows.hpp"
#include "schedule/waits.hpp"
#include "util/id.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace mlops::schedule {

using std::chrono::seconds;

namespace {

Overlap overlap_of(const std::string& text) {
  for (const Overlap each : {Overlap::queue, Overlap::replace})
    if (text == to_string(each)) return each;
  return Overlap::allow;
}

// Whether nobody is going to run it.
bool is_lost(const SlotRecord& slot, const std::optional<Fences>& known) {
  if (is_dead(slot)) return true;
  return known && slot.claimer == process::to_string(process::self()) && !known->contains(slot.fence.value());
}

const db::SlotFilter open_claims{.schedule = {}, .since = {}, .outcome = SlotOutcome::claimed};

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
  const Timetable* timetable;
  Decision decision;
  Overlap overlap = Overlap::skip;
  std::vector<Decision> coalesced = {};  ///< into it
  bool made_up = false;                  ///< one of many, each of which has its turn
};

std::optional<std::pair<std::string, std::string>> Ledger::in_the_way(const std::string& pipeline) {
  for (const std::string& id : live_runs(workspace_, database_.connection(), pipeline))
    return std::pair("run " + id + " of it is still going on", id);
  for (const SlotRecord& slot : db::claimed_slots(database_.connection(), pipeline)) {
    if (process::is_alive(slot.claimer))
      return std::pair("run " + slot.run_id + " of it, for the slot " + slot.local + ", " + prospect_of(slot),
                       slot.run_id);
  }
  return std::nullopt;
}

// Within a transaction. `before` is the row that the slot has.
Claimed Ledger::claim_row(const ScheduleRecord& schedule, const Timetable& timetable, sys_seconds at,
                          Overlap overlap, const std::optional<SlotRecord>& before, sys_seconds now) {
  db::Connection& connection = database_.connection();
  SlotRecord row = before.value_or(SlotRecord{});
  row.outcome = SlotOutcome::claimed;
  row.run_id = util::new_id();
  row.fence = db::next_fence(connection);
  row.claimer = process::to_string(process::self());
  row.decided_at = now;
  row.overlap = to_string(overlap);
  row.going = false;
  if (before) {
    db::update_slot(connection, row);
  } else {
    row.schedule = schedule.id;
    row.at = row.until = at;
    row.local = timetable.text(at);
    db::put_slot(connection, row);
  }
  return {{*row.fence, row.run_id},
          schedule.id,
          schedule.pipeline,
          schedule.name,
          at,
          timetable.text(at),
          overlap_of(row.overlap),
          start_by(timetable.entry, timetable.delay, at)};
}

std::vector<Claimed> Ledger::settle(const std::vector<Entry>& entries, sys_seconds now,
                                    const Absence& absence) {
  std::vector<Claimed> claims;
  std::vector<ToRun> to_run;
  db::Transaction transaction(database_, db::Durability::full);
  for (const Entry& entry : entries) settle_one(entry, now, absence, to_run);
  // Whatever schedule they are of, the oldest comes first.
  std::ranges::stable_sort(to_run, {}, [](const ToRun& slot) { return slot.decision.at; });
  for (ToRun& slot : to_run) {
    if (auto claimed = claim_or_skip(slot, now)) claims.push_back(std::move(*claimed));
  }
  transaction.commit();
  return claims;
}

void Ledger::settle_one(const Entry& entry, sys_seconds now, const Absence& absence,
                        std::vector<ToRun>& to_run) {
  db::Connection& connection = database_.connection();
  const Timetable& timetable = *entry.timetable;
  auto current = db::find_schedule(connection, entry.record.id);  // another process may have changed it
  if (!current || current->removed_at || begin_anew(*current, now)) return;
  const sys_seconds until = settled_until(timetable, now);
  if (until <= current->cursor) return;
  const sys_seconds from = open_after(*current, timetable, until, now);
  db::set_cursor(connection, current->id, until);
  if (current->paused_at)
    return write(*current, timetable,
                 void_slots(timetable, from, now, SlotOutcome::paused, paused_words(*current)), now);
  const std::vector<Decision> decisions = decide(timetable, from, now, absence);
  const auto wanted = std::ranges::count(decisions, SlotOutcome::claimed, &Decision::outcome);
  // Of many that are made up for each has its turn, whatever is done about one that is due.
  const bool in_turn = timetable.entry.catchup == Catchup::all && wanted > 1;
  std::vector<Decision> coalesced;
  for (const Decision& decision : decisions) {
    if (decision.outcome == SlotOutcome::claimed) {
      to_run.push_back({*current, &timetable, decision, in_turn ? Overlap::queue : timetable.entry.overlap,
                        std::exchange(coalesced, {}), in_turn});
    } else if (decision.outcome == SlotOutcome::coalesced) {
      coalesced.push_back(decision);
    } else {
      write(*current, timetable, {decision}, now);
    }
  }
}

std::optional<Claimed> Ledger::claim_or_skip(ToRun& slot, sys_seconds now) {
  if (db::find_slot(database_.connection(), slot.schedule.id, slot.decision.at)) {  // asked for by hand
    write(slot.schedule, *slot.timetable, slot.coalesced, now);
    return std::nullopt;
  }
  std::optional<std::pair<std::string, std::string>> other;
  if (slot.overlap == Overlap::skip) {
    other = in_the_way(slot.schedule.pipeline);
  } else if (is_full(slot)) {
    other = std::pair("the queue is full: " + std::to_string(longest_queue) + " slots wait", std::string());
  }
  if (other) {
    skip_with(slot.coalesced, slot.decision.local, other->first, other->second);
    slot.decision.outcome = SlotOutcome::skipped;
    std::tie(slot.decision.reason, slot.decision.run_id) = *other;
    slot.coalesced.push_back(slot.decision);
  }
  write(slot.schedule, *slot.timetable, slot.coalesced, now);
  if (other) return std::nullopt;
  Claimed claimed =
      claim_row(slot.schedule, *slot.timetable, slot.decision.at, slot.overlap, std::nullopt, now);
  if (slot.overlap == Overlap::replace) replace_waiting(claimed, now);
  return claimed;
}

// Whether as many wait as may. Those that take turns wait for all of their pipeline, others only for room.
// How many are made up for is limited by the entry; what the dead have claimed waits for nothing.
bool Ledger::is_full(const ToRun& slot) {
  if (slot.made_up || (slot.overlap != Overlap::queue && slot.overlap != Overlap::allow)) return false;
  std::vector<SlotRecord> waiting = db::claimed_slots(database_.connection(), slot.schedule.pipeline);
  if (slot.overlap == Overlap::allow)
    std::erase_if(waiting,
                  [&](const SlotRecord& other) { return other.schedule != slot.schedule.id || other.going; });
  if (waiting.size() < longest_queue) return false;
  std::erase_if(waiting, [](const SlotRecord& other) { return is_dead(other); });
  return waiting.size() >= longest_queue;
}

// Of those that this process has claimed and that wait for room: they would be ended when they have begun.
void Ledger::replace_waiting(const Claimed& by, sys_seconds now) {
  const std::string self = process::to_string(process::self());
  for (SlotRecord& slot : db::claimed_slots(database_.connection(), by.pipeline)) {
    if (slot.fence >= by.claim.fence || slot.going || slot.claimer != self ||
        slot.overlap == to_string(Overlap::queue))
      continue;
    close_dead(slot, SlotOutcome::skipped, "a newer slot took its place before it began", now);
    db::update_slot(database_.connection(), slot);
  }
}

bool Ledger::has_dead_claims(const std::optional<Fences>& known) {
  return std::ranges::any_of(db::list_slots(database_.connection(), open_claims),
                             [&](const SlotRecord& slot) { return is_lost(slot, known); });
}

std::vector<Claimed> Ledger::recover(const std::vector<Entry>& entries, sys_seconds now,
                                     const std::optional<Fences>& known) {
  std::vector<Claimed> claims;
  db::Connection& connection = database_.connection();
  db::Transaction transaction(database_, db::Durability::full);
  for (SlotRecord& slot : db::list_slots(connection, open_claims)) {
    const auto entry =
        std::ranges::find_if(entries, [&](const Entry& e) { return e.record.id == slot.schedule; });
    const auto current = db::find_schedule(connection, slot.schedule);
    if (entry == entries.end() || !current || !is_lost(slot, known)) continue;
    const Schedule& policy = entry->timetable->entry;
    const seconds late = settled_until(*entry->timetable, now) - slot.at;
    // What waits in a queue was claimed when it was due: it was not missed, and those after it wait for it.
    const bool queued = policy.overlap == Overlap::queue;
    const auto later = queued || policy.catchup == Catchup::all
                           ? std::nullopt
                           : later_run(connection, slot.schedule, slot.at);
    SlotOutcome outcome = SlotOutcome::missed;
    std::string reason = died;
    if (current->paused_at) {
      outcome = SlotOutcome::paused;
      reason = paused_words(*current);
    } else if (current->removed_at) {
      reason += ", and the entry was removed";
    } else if (slot.at <= current->since && late > on_time) {
      reason += ", and it is of before the schedule that there is now";
    } else if (!queued && policy.catchup == Catchup::none && (late > on_time || later)) {
      reason += ", and `catchup` is none";
    } else if (policy.start_within.count() > 0 && late > policy.start_within) {
      reason += ", and `start_within` has passed";
    } else if (later) {
      outcome = SlotOutcome::coalesced;
      reason += ": one run for all that were missed: " + *later;
    } else {
      const Overlap overlap =
          queued || slot.overlap == to_string(Overlap::skip) ? Overlap::queue : overlap_of(slot.overlap);
      claims.push_back(claim_row(*current, *entry->timetable, slot.at, overlap, slot, now));
      continue;
    }
    close_dead(slot, outcome, reason, now);
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
    begin_anew(*current, now);
    const sys_seconds until = settled_until(*entry.timetable, now);
    const sys_seconds from = open_after(*current, *entry.timetable, until, now);
    write(*current, *entry.timetable, void_slots(*entry.timetable, from, now, SlotOutcome::rejected, why),
          now);
    current->cursor = std::max(current->cursor, until);
    current->problem = why;
    db::put_schedule(database_.connection(), *current);
  }
  transaction.commit();
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
    // Of entries besides, what was due before anybody knew of them is owed to nobody.
    if (!at && slot < slots.front().first && slot <= schedule->since && now - slot > on_time) continue;
    begin_anew(*schedule, now);
    Answer answer;
    answer.entry = schedule->name;
    answer.local = timetable.text(slot);
    if (!schedule->served) bury(schedule->id, slot, now);
    // What was due before it and has no outcome yet.
    std::vector<Decision> coalesced;
    if (slot > schedule->cursor) {
      const sys_seconds from = open_after(*schedule, timetable, slot, now);
      std::vector<Decision> decisions = schedule->paused_at
                                            ? void_slots(timetable, from, slot + timetable.delay,
                                                         SlotOutcome::paused, paused_words(*schedule))
                                            : decide(timetable, from, slot + timetable.delay, {.back = now});
      // Times that clocks skip until then are told, but the slot itself has its answer below.
      std::erase_if(decisions, [&](const Decision& decision) {
        return decision.at == slot && decision.outcome != SlotOutcome::gap;
      });
      for (Decision& decision : decisions) {
        if (decision.outcome == SlotOutcome::claimed)
          make_missed(decision, timetable, from + timetable.delay, now, "and `run --slot` makes up for none");
      }
      const auto others = std::ranges::stable_partition(
          decisions, [](const Decision& d) { return d.outcome != SlotOutcome::coalesced; });
      coalesced.assign(others.begin(), others.end());
      decisions.erase(others.begin(), others.end());
      write(*schedule, timetable, decisions, now);
      db::set_cursor(connection, schedule->id, slot);
    }
    // Times that clocks skip have no slot that could be asked for.
    if (!at) write(*schedule, timetable, gaps_since(timetable, std::max(slot, schedule->since), now), now);
    const std::optional<SlotRecord> before = row_at(*schedule, timetable, slot);
    const auto refuse_as = [&](SlotOutcome outcome, const std::string& why, const std::string& run_id) {
      answer.refusal = why;
      answer.run_id = run_id;
      if (before && before->outcome != SlotOutcome::claimed) return;
      SlotRecord row = row_of(*schedule, {slot, answer.local, outcome, why, slot, 1}, now);
      row.run_id = run_id;
      if (before) {
        row.id = before->id;
        row.fence = before->fence;
        db::update_slot(connection, row);
      } else {
        db::put_slot(connection, row);
      }
    };
    const bool open = !before || (before->outcome == SlotOutcome::claimed && is_dead(*before));
    if (before && before->outcome == SlotOutcome::ran) {
      const auto run = db::find_run(connection, before->run_id);
      answer.run_id = before->run_id;
      answer.deleted = !run;
      answer.refusal =
          "run " + before->run_id +
          (run ? std::string(" has it (") + to_string(run->state) + ")" : " had it; it was deleted");
    } else if (before && before->outcome == SlotOutcome::claimed && !open) {
      answer.run_id = before->run_id;
      answer.refusal = "run " + before->run_id + " has it and " + prospect_of(*before);
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
        skip_with(coalesced, answer.local, other->first, other->second);
        refuse_as(SlotOutcome::skipped, other->first, other->second);
      } else {
        std::optional<SlotRecord> kept = before;
        if (kept && kept->outcome != SlotOutcome::claimed)
          kept->reason = std::string("was ") + to_string(kept->outcome) + ", then asked for";
        answer.claimed = claim_row(*schedule, timetable, slot, timetable.entry.overlap, kept, now);
        if (at) answer.claimed->start_by.reset();  // whoever asks for it by its time will have it
        write(*schedule, timetable, coalesced, now);
        transaction.commit();
        return answer;
      }
    }
    write(*schedule, timetable, coalesced, now);
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
  const auto limit = start_by(policy, pipeline::delay_of(policy, schedule->pipeline), slot->at);
  if (limit && Instant(now) > *limit) {
    miss_row(*slot, policy, now);
    transaction.commit();
    return std::nullopt;
  }
  slot->claimer = process::to_string(process::self());
  db::update_slot(connection, *slot);
  transaction.commit();
  return Claimed{
      {fence, slot->run_id},     slot->schedule, schedule->pipeline, schedule->name, slot->at, slot->local,
      overlap_of(slot->overlap), limit};
}

void Ledger::miss_row(SlotRecord& slot, const Schedule& policy, sys_seconds now) {
  slot.outcome = SlotOutcome::missed;
  slot.reason =
      "it had to wait, and `start_within` (" + util::format_duration(policy.start_within) + ") has passed";
  slot.run_id.clear();
  slot.decided_at = now;
  db::update_slot(database_.connection(), slot);
}

void Ledger::miss(std::int64_t fence, sys_seconds now) {
  db::Transaction transaction(database_, db::Durability::full);
  auto slot = db::slot_with_fence(database_.connection(), fence);
  if (!slot || slot->outcome != SlotOutcome::claimed) return;
  const auto schedule = db::find_schedule(database_.connection(), slot->schedule);
  if (!schedule) return;
  miss_row(*slot, schedule_of(Json::parse(schedule->definition, nullptr, false)), now);
  transaction.commit();
}

std::optional<SlotRecord> Ledger::find_claim(std::int64_t fence) {
  return db::slot_with_fence(database_.connection(), fence);
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
  if (ours && slot->going) {  // its process died before the run began: it is not in its own way
    slot->going = false;
    db::update_slot(connection, *slot);
  }
  if (const std::string why = ours ? admission.hold(wish) : ""; !why.empty()) {
    transaction.commit();
    return {false, admission.next(), admission.holders(), why, admission.full()};
  }
  if (ours) {
    slot->going = true;
    db::update_slot(connection, *slot);
  }
  transaction.commit();
  return {true, {}, {}, {}};  // of one that is not ours any more its process says so
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

}  // namespace mlops::schedule
