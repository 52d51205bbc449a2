#include "schedule/backfills.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "db/backfills.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "engine/run_start.hpp"
#include "process/lock_file.hpp"
#include "schedule/ledger.hpp"
#include "schedule/requests.hpp"
#include "schedule/times.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "workspace/config.hpp"
#include "workspace/layout.hpp"

#include <fstream>

using namespace mlops;
using namespace mlops::schedule;

namespace {

const sys_seconds now = at("2026-01-10 12:00");

/// A workspace with a daily pipeline of which the ledger heard on the 8th.
struct Place {
  Place()
      : workspace(Workspace::create(dir.path())),
        database(db::Database::open(workspace.database_path())),
        backfills(workspace, database),
        requests(workspace, database),
        ledger(workspace, database),
        pipeline(
            parse_pipeline("name: p\nschedule: {cron: '0 3 * * *', timezone: UTC}\nsteps: {a: {run: echo}}\n",
                           dir.path() + "/p.yaml", {.overrides = {}, .check_files = false})),
        timetable(entry_of(pipeline, "", zones)) {
    schedule = ledger.adopt(pipeline, timetables(pipeline, zones), at("2026-01-08 12:00")).at(0);
  }

  BackfillPlan plan(const char* from, const char* to) {
    auto slots = slots_between(timetable, from, to, now);
    backfills.recall(pipeline, timetable, slots);
    return plan_backfill(slots, {}, {});
  }
  std::int64_t begin(const char* from, const char* to, int jobs = 1) {
    return backfills.begin(pipeline, timetable, plan(from, to), jobs).value();
  }
  std::vector<ClaimedRequest> claim(std::size_t most = 100, std::optional<std::int64_t> only = {}) {
    return requests.claim(limits, {{}, most, {}, only}, util_now).claimed;
  }
  /// As if its run had begun; it ends as `state`.
  void run(const ClaimedRequest& claimed, RunState state) {
    db::Transaction transaction(database);
    engine::start_claim(database.connection(), claimed.claim, util_now());
    RunRecord run;
    run.id = claimed.claim.run_id;
    run.pipeline = "p";
    run.created_at = util_now();
    db::insert_run(database.connection(), run, "text", {}, {});
    if (state != RunState::running)
      db::finish_run(database.connection(), run.id, state, "", 0, util_now(), 1);
    transaction.commit();
  }
  static Instant util_now() { return Instant(now) + std::chrono::hours(24 * 365 * 50); }

  std::string ledger_text() {
    std::string text;
    for (const SlotRecord& slot : db::list_slots(database.connection(), {}))
      text += slot.local.substr(5, 5) + " " + to_string(slot.outcome) +
              (slot.slots > 1 ? " x" + std::to_string(slot.slots) : "") +
              (slot.reason.empty() ? "" : " (" + slot.reason + ")") + "; ";
    return text;
  }
  std::string progress(std::int64_t id) {
    const BackfillProgress p = progress_of(db::slots_of_backfill(database.connection(), id));
    return std::to_string(p.waiting) + " " + std::to_string(p.running) + " " + std::to_string(p.done) + " " +
           std::to_string(p.failed) + " " + std::to_string(p.cancelled);
  }
  sys_seconds cursor() { return db::find_schedule(database.connection(), schedule.id)->cursor; }

  TempDir dir;
  Workspace workspace;
  db::Database database;
  Backfills backfills;
  Requests requests;
  Ledger ledger;
  pipeline::Zones zones;
  Pipeline pipeline;
  Timetable timetable;
  ScheduleRecord schedule;
  workspace::Config limits;
};

}  // namespace

TEST_CASE("a backfill asks for its slots below all else, so many at a time, and moves no cursor") {
  Place place;
  const sys_seconds cursor = place.cursor();
  const std::int64_t id = place.begin("2026-01-01", "2026-01-04", 2);
  RequestRecord live;
  live.file = live.pipeline = "q";
  place.requests.submit(live);
  const auto first = place.claim();
  REQUIRE(first.size() == 3);
  REQUIRE(first[0].request.pipeline == "q");
  REQUIRE(options_of(first[1].request).slot->id == "20260101T030000Z");
  REQUIRE(options_of(first[1].request).slot->start == "2025-12-31T03:00:00+00:00");
  REQUIRE(first[2].request.priority == backfill_priority);
  REQUIRE(place.claim().empty());
  REQUIRE(place.progress(id) == "4 0 0 0 0");
  place.run(first[1], RunState::succeeded);
  REQUIRE(place.ledger_text() == "01-01 ran (backfill 1); ");
  REQUIRE(place.claim(100, id + 1).empty());
  const auto next = place.claim(100, id);
  REQUIRE(next.size() == 1);
  place.run(first[2], RunState::failed);
  place.run(next[0], RunState::cancelled);
  place.run(place.claim().at(0), RunState::interrupted);
  REQUIRE(place.progress(id) == "0 0 1 3 0");
  REQUIRE_FALSE(db::is_backfill_open(place.database.connection(), id));
  REQUIRE(place.cursor() == cursor);
}

TEST_CASE("a slot out of many that were missed gets a row of its own, when it is run") {
  Place place;
  {
    db::Transaction transaction(place.database);
    ScheduleRecord schedule = place.schedule;
    schedule.since = at("2026-01-01 00:00");
    db::put_schedule(place.database.connection(), schedule);
    SlotRecord many;
    many.schedule = place.schedule.id;
    many.at = at("2026-01-01 03:00");
    many.local = "2026-01-01T03:00:00+00:00";
    many.until = at("2026-01-06 03:00");
    many.slots = 6;
    many.outcome = SlotOutcome::missed;
    db::put_slot(place.database.connection(), many);
    transaction.commit();
  }
  REQUIRE(place.plan("2026-01-03", "2026-01-03").slots[0].reason == "missed");
  place.begin("2026-01-03", "2026-01-03");
  REQUIRE(place.ledger_text() == "01-01 missed x2; 01-03 missed; 01-04 missed x3; ");
  place.run(place.claim().at(0), RunState::running);
  REQUIRE(place.ledger_text() == "01-01 missed x2; 01-03 ran (backfill 1, was missed); 01-04 missed x3; ");
}

TEST_CASE("what waits in one backfill is not asked for by another") {
  Place place;
  place.begin("2026-01-01", "2026-01-03");
  const BackfillPlan plan = place.plan("2026-01-02", "2026-01-05");
  REQUIRE(plan.counts.at(SlotState::waiting) == 2);
  REQUIRE(plan.order.size() == 2);
  // Planned before, begun after it.
  BackfillPlan late = plan;
  late.order = {0, 1, 2, 3};
  const std::int64_t id = place.backfills.begin(place.pipeline, place.timetable, late, 1).value();
  REQUIRE(db::slots_of_backfill(place.database.connection(), id).size() == 2);
  late.order = {0, 1};
  REQUIRE_FALSE(place.backfills.begin(place.pipeline, place.timetable, late, 1));
}

TEST_CASE("nothing is started of a backfill that is paused, and what was interrupted is asked for again") {
  Place place;
  const std::int64_t id = place.begin("2026-01-01", "2026-01-03");
  { std::ofstream(place.dir.path() + "/p.yaml") << place.pipeline.source; }
  place.run(place.claim(1).at(0), RunState::interrupted);
  place.backfills.pause(id);
  REQUIRE(place.claim().empty());
  REQUIRE_FALSE(db::is_backfill_open(place.database.connection(), id));
  place.backfills.resume(id, 3);
  REQUIRE(place.progress(id) == "3 0 0 0 0");
  REQUIRE(place.claim().size() == 3);
  place.backfills.cancel(id);
  REQUIRE_THROWS_AS(place.backfills.resume(id, 0), Error);
  REQUIRE_THROWS_AS(place.backfills.pause(99), Error);
}

TEST_CASE("a slot that somebody else has run, or is about to, is not run again") {
  Place place;
  const std::int64_t id = place.begin("2026-01-09", "2026-01-10", 2);
  const auto claims = place.claim();
  REQUIRE(claims.size() == 2);
  // By hand, meanwhile: the slot of the 9th is claimed by this process, which lives.
  const Answer answer = place.ledger.claim(place.pipeline, "2026-01-09T03:00:00Z", now);
  REQUIRE(answer.claimed);
  REQUIRE_THROWS_AS(place.run(claims[0], RunState::running), Error);
  const auto taken = place.requests.take_over(claims[0].claim.fence);
  REQUIRE(taken);
  const auto why = place.backfills.refusal(taken->request);
  REQUIRE(why);
  REQUIRE(why->find("is about to begin") != std::string::npos);
  REQUIRE_FALSE(place.backfills.refusal(place.requests.take_over(claims[1].claim.fence)->request));
  REQUIRE(place.progress(id) == "1 0 0 0 1");
  // And the other way round.
  place.run(claims[1], RunState::running);
  REQUIRE_FALSE(place.ledger.claim(place.pipeline, "2026-01-10T03:00:00Z", now).claimed);
}

TEST_CASE("a run of a backfill is in no live slot's way") {
  Place place;
  place.begin("2026-01-01", "2026-01-01");
  const ClaimedRequest claimed = place.claim().at(0);
  place.run(claimed, RunState::running);
  const std::string directory = place.workspace.run_directory(claimed.claim.run_id);
  util::make_directories(directory);
  const auto lock = process::LockFile::try_lock(layout::in(directory, layout::runner_lock));
  REQUIRE(place.ledger.claim(place.pipeline, std::nullopt, now).claimed);
  // Were it no part of a backfill, it would be.
  place.database.connection().execute("UPDATE requests SET backfill = NULL");
  REQUIRE_FALSE(place.ledger.claim(place.pipeline, "2026-01-09T03:00:00Z", now).claimed);
}

TEST_CASE("an entry has to be named where there are several") {
  Place place;
  const Pipeline two = parse_pipeline(
      "name: p\nschedule: [{cron: '0 3 * * *'}, {every: 6h, name: often}]\nsteps: {a: {run: echo}}\n",
      place.dir.path() + "/two.yaml", {.overrides = {}, .check_files = false});
  REQUIRE_THROWS_AS(entry_of(two, "", place.zones), Error);
  REQUIRE_THROWS_AS(entry_of(two, "other", place.zones), Error);
  REQUIRE(entry_of(two, "often", place.zones).entry.every == std::chrono::hours(6));
}
