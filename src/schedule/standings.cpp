#include "schedule/standings.hpp"

#include <mlops/error.hpp>

#include "db/backfills.hpp"
#include "db/history.hpp"
#include "db/promises.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "db/steps.hpp"
#include "engine/recovery.hpp"
#include "util/log.hpp"
#include "util/time.hpp"

#include <algorithm>

namespace mlops::schedule {

using std::chrono::ceil;
using std::chrono::floor;
using std::chrono::seconds;

namespace {

constexpr int step_runs_that_count = 20;

bool is_over(StepState state) {
  return state != StepState::pending && state != StepState::running && state != StepState::retrying;
}

// What is left of a run that goes on; nothing if its steps have no history.
std::optional<Rest> rest_of(const Workspace& workspace, db::Connection& connection, const RunRecord& run,
                            sys_seconds now) {
  try {
    auto durations = db::step_durations_ms(connection, run.pipeline, step_runs_that_count);
    if (durations.empty()) return std::nullopt;
    const Pipeline pipeline = engine::load_frozen(workspace, connection, run.id).pipeline;
    StepProgress not_selected;  // unless it is on record
    not_selected.done = true;
    std::vector<StepProgress> steps(pipeline.steps.size(), not_selected);
    for (const StepRecord& record : db::steps_of(connection, run.id)) {
      if (record.step < 0 || static_cast<std::size_t>(record.step) >= steps.size()) continue;
      StepProgress& step = steps[static_cast<std::size_t>(record.step)];
      step.done = is_over(record.state);
      if (record.started_at && record.state != StepState::pending)
        step.running_since = floor<seconds>(*record.started_at);
      if (const auto known = durations.find(record.name); known != durations.end())
        step.usual = usual_of(std::move(known->second))->slow;
    }
    return rest_of(make_graph(pipeline), steps, now);
  } catch (const std::exception& error) {
    util::log_debug("what is left of run " + run.id + " cannot be told: " + error.what());
    return std::nullopt;
  }
}

bool goes_on(const Workspace& workspace, const RunRecord& run) {
  return run.state == RunState::running && engine::liveness(workspace, run.id) != engine::Liveness::dead;
}

void go_on(Progress& progress, const Workspace& workspace, db::Connection& connection, const RunRecord& run,
           sys_seconds now) {
  progress.begun = floor<seconds>(run.created_at);
  progress.run_id = run.id;
  progress.rest = rest_of(workspace, connection, run, now);
}

std::string words_of(const RunRecord& run) {
  return "run " + run.id + " " +
         (run.state == RunState::running ? "has lost its runner" : to_string(run.state));
}

Progress progress_of(const Workspace& workspace, db::Connection& connection, const ScheduleRecord& record,
                     sys_seconds slot, sys_seconds now) {
  Progress progress;
  if (const auto done = db::first_success_for(connection, record.pipeline, slot))
    progress.done = ceil<seconds>(*done);
  const auto run = db::newest_run_for(connection, record.pipeline, slot);
  if (run && goes_on(workspace, *run)) {
    go_on(progress, workspace, connection, *run, now);
    return progress;
  }
  auto row = db::find_slot(connection, record.id, slot);
  if (!row) row = db::slots_around(connection, record.id, slot, record.since);
  progress.open = row ? row->outcome == SlotOutcome::claimed : slot > record.cursor;
  if (run && run->state != RunState::succeeded) {
    progress.trouble = words_of(*run);
  } else if (row && row->outcome != SlotOutcome::ran && row->outcome != SlotOutcome::claimed) {
    progress.trouble = std::string("its slot was ") + to_string(row->outcome) +
                       (row->reason.empty() ? "" : " (" + row->reason + ")");
  } else if (!run && !progress.open) {
    progress.trouble = row ? "run " + row->run_id + " is not on record any more" : "its slot was not run";
  }
  return progress;
}

}  // namespace

std::optional<Usual> usual_of(db::Connection& connection, const std::string& pipeline) {
  return usual_of(db::durations_ms(connection, pipeline, runs_that_count));
}

std::vector<Standing> standings_of(const Workspace& workspace, db::Connection& connection,
                                   const ScheduleRecord& record, const Timetable& timetable,
                                   sys_seconds now) {
  std::vector<Standing> list;
  if (record.removed_at || record.paused_at || !makes_promises(timetable.entry)) return list;
  const auto usual = usual_of(connection, record.pipeline);
  for (const Due& due : deadlines_around(timetable, record.since, now)) {
    const Progress progress = progress_of(workspace, connection, record, due.slot, now);
    list.push_back(judge_deadline(timetable, due, progress, usual, now));
  }
  if (timetable.entry.fresh_within.count() > 0) {
    const auto last = db::last_success(connection, record.pipeline);
    const auto slot = calendar::last_fire(timetable.rule, now);
    Progress progress;
    if (slot && *slot > record.since) progress = progress_of(workspace, connection, record, *slot, now);
    // A run of a slot before it will do as well.
    for (const RunRecord& run :
         db::list_runs(connection,
                       {.pipeline = record.pipeline, .state = RunState::running, .since = {}, .limit = 0})) {
      if (!progress.begun && goes_on(workspace, run) && !db::is_of_backfill(connection, run.id))
        go_on(progress, workspace, connection, run, now);
    }
    list.push_back(judge_freshness(timetable, last ? floor<seconds>(*last) : record.since, last.has_value(),
                                   progress, usual, now));
  }
  return list;
}

std::vector<Promise> promises_of(const Workspace& workspace, db::Connection& connection, sys_seconds now) {
  std::vector<Promise> list;
  for (const Known& known : known_schedules(workspace, connection)) {
    if (!known.timetable) continue;
    for (Standing& standing : standings_of(workspace, connection, known.record, *known.timetable, now))
      list.push_back({known.record, std::move(standing)});
  }
  return list;
}

std::vector<Promise> news_of_promises(db::Database& database, const ScheduleRecord& record,
                                      const std::vector<Standing>& standings,
                                      const std::function<void(const Promise&)>& within) {
  std::vector<Promise> news;
  std::vector<db::ToldPromise> rows;
  for (const Standing& standing : standings) {
    db::ToldPromise row{record.id,      to_string(standing.kind),
                        standing.due,   to_string(standing.state),
                        standing.words, util::now()};
    if (standing.state == Standing::State::kept || db::was_told(database.connection(), row)) continue;
    news.push_back({record, standing});
    rows.push_back(std::move(row));
  }
  if (news.empty()) return news;
  db::Transaction transaction(database, db::Durability::full);
  for (std::size_t i = news.size(); i-- > 0;) {
    if (!db::put_told(database.connection(), rows[i])) {  // by another process, meanwhile
      news.erase(news.begin() + static_cast<long>(i));
    } else if (within) {
      within(news[i]);
    }
  }
  transaction.commit();
  return news;
}

}  // namespace mlops::schedule
