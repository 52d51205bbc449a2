#include "schedule/backfills.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "db/backfills.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "engine/definition.hpp"
#include "engine/recovery.hpp"
#include "schedule/bell.hpp"
#include "schedule/ledger.hpp"
#include "schedule/limits.hpp"
#include "schedule/requests.hpp"
#include "schedule/standings.hpp"
#include "schedule/waits.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"

#include <algorithm>

namespace mlops::schedule {

namespace {

// Tells of runs whether they did what the file says now.
class Definitions {
 public:
  Definitions(const Workspace& workspace, db::Connection& db, const Pipeline& pipeline,
              const Timetable& timetable)
      : workspace_(workspace), db_(db), pipeline_(pipeline), timetable_(timetable) {}

  bool same(const std::string& run_id, sys_seconds slot) {
    try {
      return engine::steps_digest(engine::load_frozen(workspace_, db_, run_id).pipeline) == now(slot);
    } catch (const std::exception&) {
      return false;  // its definition is gone, or damaged: nobody knows
    }
  }

 private:
  const std::string& now(sys_seconds slot) {
    if (pipeline_.uses_slot) {
      digest_ = engine::steps_digest(parse_pipeline(
          pipeline_.source, pipeline_.file,
          {.overrides = pipeline_.overrides, .check_files = false, .slot = slot_values(timetable_, slot)}));
    } else if (digest_.empty()) {
      digest_ = engine::steps_digest(pipeline_);
    }
    return digest_;
  }

  const Workspace& workspace_;
  db::Connection& db_;
  const Pipeline& pipeline_;
  const Timetable& timetable_;
  std::string digest_;
};

}  // namespace

Timetable entry_of(const Pipeline& pipeline, const std::string& name, pipeline::Zones& zones) {
  const std::vector<Timetable> all = require_timetables(pipeline, zones);
  std::vector<std::string> names;
  for (const Timetable& timetable : all) names.push_back(timetable.entry.name);
  if (name.empty() && all.size() > 1) {
    throw Error(ExitCode::usage, "'" + pipeline.file + "' has " + std::to_string(all.size()) + " schedules",
                "say which one with --schedule: " + util::join(names, ", "));
  }
  if (name.empty()) return all.front();
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) {
    throw Error(ExitCode::usage, "'" + pipeline.file + "' has no schedule '" + name + "'",
                "it has " + util::join(names, ", "));
  }
  return all[static_cast<std::size_t>(found - names.begin())];
}

BackfillProgress progress_of(const std::vector<BackfillSlot>& slots) {
  BackfillProgress progress;
  progress.slots = slots.size();
  for (const BackfillSlot& slot : slots) {
    progress.running += slot.is_running();
    progress.waiting += slot.is_open() && !slot.is_running();
    progress.done += slot.is_fresh();
    progress.failed += slot.is_failed();
    progress.cancelled += slot.asked == RequestState::cancelled;
    progress.deleted += slot.is_deleted();
  }
  return progress;
}

void Backfills::recall(const Pipeline& pipeline, const Timetable& timetable,
                       std::vector<SlotHistory>& slots) {
  db::Connection& connection = database_.connection();
  const auto known = db::schedules_of(connection, workspace_.relative(pipeline.file));
  const auto schedule = std::ranges::find(known, timetable.entry.name, &ScheduleRecord::name);
  if (schedule == known.end() || slots.empty()) return;
  std::vector<SlotRecord> rows =
      db::list_slots(connection, {.schedule = schedule->id, .since = slots.front().at, .outcome = {}});
  std::erase_if(rows, [](const SlotRecord& row) { return row.outcome == SlotOutcome::gap; });
  const auto asked = db::slots_asked_for(connection, schedule->id);
  Definitions definitions(workspace_, database_.connection(), pipeline, timetable);
  auto row = rows.begin();
  for (SlotHistory& slot : slots) {
    if (const auto by = asked.find(slot.at); by != asked.end()) slot.asked_by = by->second;
    while (row != rows.end() && row->until < slot.at) ++row;
    if (row == rows.end() || row->at > slot.at) continue;
    slot.row = *row;
    if (row->outcome == SlotOutcome::claimed) slot.claimer_lives = process::is_alive(row->claimer);
    if (row->outcome != SlotOutcome::ran) continue;
    if (const auto run = db::find_run(connection, row->run_id)) slot.run = run->state;
    if (slot.run == RunState::succeeded) slot.same = definitions.same(row->run_id, slot.at);
  }
}

std::optional<Milliseconds> Backfills::usual(const std::string& pipeline) {
  const auto usual = usual_of(database_.connection(), pipeline);
  return usual ? std::optional(usual->median) : std::nullopt;
}

// The row of the entry. One that is known stays as it is, so that a backfill decides nothing about its slots.
ScheduleRecord Backfills::schedule_of_entry(const Pipeline& pipeline, const Timetable& timetable) {
  const auto find = [&](const std::vector<ScheduleRecord>& list) -> std::optional<ScheduleRecord> {
    const auto found = std::ranges::find(list, timetable.entry.name, &ScheduleRecord::name);
    return found == list.end() ? std::nullopt : std::optional(*found);
  };
  if (auto known = find(db::schedules_of(database_.connection(), workspace_.relative(pipeline.file))))
    return *known;
  pipeline::Zones zones;
  const sys_seconds now = calendar::now_seconds();
  return find(Ledger(workspace_, database_).adopt(pipeline, timetables(pipeline, zones), now)).value();
}

// Within a transaction.
std::int64_t Backfills::ask(const BackfillRecord& backfill, const Pipeline& pipeline,
                            const Timetable& timetable, sys_seconds at, db::Transaction& transaction) {
  RequestRecord request = request_for(workspace_, pipeline, {backfill.overrides, slot_values(timetable, at)});
  request.priority = backfill_priority;
  request.source = "backfill";
  request.backfill = backfill.id;
  request.cause = "backfill " + std::to_string(backfill.id) + ", slot " + timetable.text(at);
  return Requests(workspace_, database_).submit_within(transaction, request).value();
}

std::optional<std::int64_t> Backfills::begin(const Pipeline& pipeline, const Timetable& timetable,
                                             const BackfillPlan& plan, int jobs) {
  const ScheduleRecord schedule = schedule_of_entry(pipeline, timetable);
  pipeline::Zones zones;
  const Timetable known = timetable_of(schedule, workspace_.root(), zones);  // by which its rows were made
  db::Connection& connection = database_.connection();
  db::Transaction transaction(database_, db::Durability::full);
  Ledger ledger(workspace_, database_);
  const auto asked = db::slots_asked_for(connection, schedule.id);
  if (std::ranges::all_of(plan.order, [&](std::size_t i) { return asked.contains(plan.slots[i].at); }))
    return std::nullopt;
  BackfillRecord backfill;
  backfill.schedule = schedule.id;
  backfill.from = plan.slots.front().at;
  backfill.to = plan.slots.back().at;
  backfill.jobs = jobs;
  backfill.overrides = pipeline.overrides;
  backfill.created_at = util::now();
  backfill.created_by = workspace::user_name();
  backfill.id = db::put_backfill(connection, backfill);
  for (const std::size_t i : plan.order) {
    const PlannedSlot& slot = plan.slots[i];
    if (asked.contains(slot.at)) continue;
    ledger.set_apart(schedule, known, slot.at, calendar::now_seconds());
    BackfillSlot row;
    row.at = slot.at;
    row.local = slot.local;
    row.was = slot.state;
    row.run_before = slot.run_id;
    row.request = ask(backfill, pipeline, timetable, slot.at, transaction);
    db::put_backfill_slot(connection, backfill.id, row);
  }
  transaction.commit();
  return backfill.id;
}

BackfillRecord Backfills::get(std::int64_t id) {
  if (auto backfill = db::find_backfill(database_.connection(), id)) return std::move(*backfill);
  throw Error(ExitCode::usage, "there is no backfill " + std::to_string(id),
              "`mlops backfill list` lists them");
}

void Backfills::pause(std::int64_t id) {
  db::Transaction transaction(database_, db::Durability::full);
  const BackfillRecord backfill = get(id);
  if (backfill.state != BackfillState::open) return;
  db::update_backfill(database_.connection(), id, BackfillState::paused, backfill.jobs);
  transaction.commit();
}

void Backfills::resume(std::int64_t id, int jobs) {
  const BackfillRecord backfill = get(id);
  db::Connection& connection = database_.connection();
  const std::string path =
      backfill.file.starts_with('/') ? backfill.file : workspace_.root() + "/" + backfill.file;
  const Pipeline pipeline = load_pipeline(path, {.overrides = backfill.overrides, .check_files = false});
  pipeline::Zones zones;
  const Timetable timetable = entry_of(pipeline, backfill.entry, zones);
  db::Transaction transaction(database_, db::Durability::full);
  if (get(id).state == BackfillState::cancelled) {
    throw Error(ExitCode::usage, "backfill " + std::to_string(id) + " was cancelled",
                "begin another one: what was done is not done again");
  }
  db::update_backfill(connection, id, BackfillState::open, jobs > 0 ? jobs : backfill.jobs);
  for (const BackfillSlot& slot : db::slots_of_backfill(connection, id)) {
    if (slot.asked != RequestState::rejected && slot.run != RunState::interrupted) continue;
    db::set_backfill_request(connection, id, slot.at,
                             ask(backfill, pipeline, timetable, slot.at, transaction));
  }
  ring(workspace_, layout::queue_bell);
  transaction.commit();
}

void Backfills::cancel(std::int64_t id) {
  db::Transaction transaction(database_, db::Durability::full);
  const BackfillRecord backfill = get(id);
  db::Connection& connection = database_.connection();
  if (backfill.state != BackfillState::cancelled &&
      progress_of(db::slots_of_backfill(connection, id)).is_over()) {
    throw Error(ExitCode::busy, "backfill " + std::to_string(id) + " is over: nothing of it waits",
                "see `mlops backfill list`");
  }
  db::update_backfill(connection, id, BackfillState::cancelled, backfill.jobs);
  for (RequestRecord& request :
       db::list_requests(connection, {.queue = "", .state = RequestState::waiting, .backfill = id})) {
    request.state = RequestState::cancelled;
    request.reason = "backfill " + std::to_string(id) + " was cancelled by " + workspace::user_name();
    request.decided_at = util::now();
    db::update_request(connection, request);
  }
  transaction.commit();
}

std::optional<std::string> Backfills::refusal(const RequestRecord& request) {
  if (!request.backfill) return std::nullopt;
  db::Transaction transaction(database_, db::Durability::full);
  const std::string why = who_has_the_slot(request);
  if (!why.empty()) {
    RequestRecord cancelled = request;
    cancelled.state = RequestState::cancelled;
    cancelled.reason = why;
    cancelled.run_id.clear();
    cancelled.decided_at = util::now();
    db::update_request(database_.connection(), cancelled);
  }
  transaction.commit();
  return why.empty() ? std::nullopt : std::optional(why);
}

// Within a transaction. Empty: nobody since the backfill was begun.
std::string Backfills::who_has_the_slot(const RequestRecord& request) {
  db::Connection& connection = database_.connection();
  const auto slot = db::slot_of_request(connection, request.id);
  const auto schedule = db::find_schedule(connection, get(*request.backfill).schedule);
  if (!slot || !schedule) return "it is no part of its backfill any more";
  pipeline::Zones zones;
  const auto row = Ledger(workspace_, database_)
                       .set_apart(*schedule, timetable_of(*schedule, workspace_.root(), zones), slot->at,
                                  calendar::now_seconds());
  if (!row) return {};
  if (row->outcome == SlotOutcome::claimed) return "run " + row->run_id + " has it and " + prospect_of(*row);
  if (row->outcome != SlotOutcome::ran || row->run_id == slot->run_before) return {};
  const auto run = db::find_run(connection, row->run_id);
  if (!run || (run->state != RunState::running && run->state != RunState::succeeded)) return {};
  return "run " + row->run_id + " has it (" + to_string(run->state) + ")";
}

}  // namespace mlops::schedule
