#include "schedule/promises.hpp"

#include "catch.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "db/steps.hpp"
#include "schedule/ledger.hpp"
#include "schedule/staleness.hpp"
#include "schedule/standings.hpp"
#include "schedule/times.hpp"
#include "temp_dir.hpp"
#include "util/id.hpp"

#include <random>

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using State = Standing::State;

namespace {

Timetable table(const std::string& cron, const std::string& deadline, hours fresh = hours(0),
                const std::string& zone = "UTC") {
  Schedule entry;
  entry.name = "main";
  entry.cron = cron;
  entry.timezone = zone;
  entry.deadline = deadline;
  entry.fresh_within = fresh;
  pipeline::Zones zones;
  return {entry, pipeline::rule_of(entry, "p", "/", zones), seconds(0)};
}

const std::optional<Usual> hour = Usual{10, minutes(50), minutes(60)};
const sys_seconds long_ago = at("2020-01-01 00:00");

std::string around(const Timetable& timetable, const char* now, sys_seconds since = long_ago) {
  std::string text;
  for (const Due& due : deadlines_around(timetable, since, at(now)))
    text += timetable.text(due.slot).substr(5, 11) + " by " + timetable.text(due.by).substr(5, 11) + "; ";
  return text;
}

Progress open_slot() {
  Progress progress;
  progress.open = true;
  return progress;
}

}  // namespace

TEST_CASE("a deadline is for the slot before it") {
  const Timetable daily = table("0 3 * * *", "06:00");
  REQUIRE(around(daily, "2026-01-05 04:00") == "01-04T03:00 by 01-04T06:00; 01-05T03:00 by 01-05T06:00; ");
  REQUIRE(around(daily, "2026-01-05 07:00") == "01-05T03:00 by 01-05T06:00; 01-06T03:00 by 01-06T06:00; ");
  REQUIRE(around(daily, "2026-01-05 07:00", at("2026-01-05 05:00")) == "01-06T03:00 by 01-06T06:00; ");
  // Of many slots the last one; a slot at the very time belongs to the next day.
  REQUIRE(around(table("0 * * * *", "06:00"), "2026-01-05 06:30") ==
          "01-05T05:00 by 01-05T06:00; 01-06T05:00 by 01-06T06:00; ");
  REQUIRE(around(table("0 6 * * *", "06:00"), "2026-01-05 05:00") ==
          "01-03T06:00 by 01-04T06:00; 01-04T06:00 by 01-05T06:00; ");
  // Days without slots have none: on Sunday nothing new is due.
  REQUIRE(around(table("0 22 * * 5", "06:00"), "2026-01-11 12:00") == "01-09T22:00 by 01-10T06:00; ");
  // As clocks of its zone show it.
  REQUIRE(around(table("0 3 * * *", "06:00", hours(0), "Asia/Seoul"), "2026-01-05 12:00") ==
          "01-05T03:00 by 01-05T06:00; 01-06T03:00 by 01-06T06:00; ");
  REQUIRE(around(table("0 3 * * *", ""), "2026-01-05 04:00").empty());
}

TEST_CASE("a miss is told before it comes") {
  const Timetable daily = table("0 3 * * *", "06:00");
  const Due due{at("2026-01-05 03:00"), at("2026-01-05 06:00")};
  const auto judge = [&](const Progress& progress, const char* now) {
    return judge_deadline(daily, due, progress, hour, at(now));
  };
  Standing s = judge(open_slot(), "2026-01-05 02:00");
  REQUIRE(s.state == State::kept);
  REQUIRE(s.turns == due.slot);
  s = judge(open_slot(), "2026-01-05 03:00");
  REQUIRE(s.state == State::kept);
  REQUIRE(s.turns == at("2026-01-05 05:00:01"));
  s = judge(open_slot(), "2026-01-05 05:00:01");
  REQUIRE(s.state == State::at_risk);
  REQUIRE(s.by == seconds(1));
  s = judge(open_slot(), "2026-01-05 05:40");
  REQUIRE(s.by == minutes(40));
  REQUIRE(s.words ==
          "will be late by about 40m00s, after 06:00: usual duration 50m00s, at times 1h00m, not begun yet");
  REQUIRE(s.turns == due.by);
  s = judge(open_slot(), "2026-01-05 06:00");
  REQUIRE(s.state == State::missed);
  REQUIRE_FALSE(s.turns);

  Progress failed;
  failed.trouble = "run x failed";
  s = judge(failed, "2026-01-05 03:30");
  REQUIRE(s.state == State::at_risk);
  REQUIRE(s.words == "will not be done by 06:00: run x failed, and nothing runs again before");

  Progress done;
  done.done = at("2026-01-05 05:00");
  REQUIRE(judge(done, "2026-01-05 05:30").state == State::kept);
  done.done = at("2026-01-05 06:20");
  s = judge(done, "2026-01-05 07:00");
  REQUIRE(s.state == State::missed);
  REQUIRE(s.made_up);
  REQUIRE(s.by == minutes(20));
  // Nothing is foretold of what nobody knows.
  s = judge_deadline(daily, due, open_slot(), std::nullopt, at("2026-01-05 05:59"));
  REQUIRE(s.state == State::kept);
  REQUIRE(s.turns == due.by);
}

TEST_CASE("a run that goes on is judged by what its steps still need") {
  const Timetable daily = table("0 3 * * *", "06:00");
  const Due due{at("2026-01-05 03:00"), at("2026-01-05 06:00")};
  Progress running;
  running.begun = at("2026-01-05 03:00");
  running.run_id = "x";
  running.rest = Rest{minutes(30), minutes(20)};
  Standing s = judge_deadline(daily, due, running, hour, at("2026-01-05 05:20"));
  REQUIRE(s.state == State::kept);
  REQUIRE(s.turns == at("2026-01-05 05:40:01"));
  s = judge_deadline(daily, due, running, hour, at("2026-01-05 05:45"));
  REQUIRE(s.state == State::at_risk);
  REQUIRE(s.by == minutes(15));
  // Without any, by how long runs take.
  running.rest.reset();
  running.begun = at("2026-01-05 05:20");
  s = judge_deadline(daily, due, running, hour, at("2026-01-05 05:30"));
  REQUIRE(s.state == State::at_risk);
  REQUIRE(s.by == minutes(20));
}

TEST_CASE("what is left of a run is its longest chain") {
  Graph graph;  // 0 → 1 → 3, 0 → 2
  graph.needs = {{}, {0}, {0}, {1}};
  graph.feeds = {{1, 2}, {3}, {}, {}};
  graph.order = {0, 1, 2, 3};
  std::vector<StepProgress> steps(4);
  for (StepProgress& step : steps) step.usual = minutes(10);
  steps[2].usual = minutes(35);
  const sys_seconds now = at("2026-01-01 00:00");
  REQUIRE(rest_of(graph, steps, now).left == minutes(45));
  steps[0].done = true;
  steps[1].running_since = now - minutes(4);
  steps[2].running_since = now - minutes(30);
  REQUIRE(rest_of(graph, steps, now).left == minutes(16));
  REQUIRE(rest_of(graph, steps, now).after == minutes(10));
  steps[1].running_since = now - minutes(40);  // longer than ever
  REQUIRE(rest_of(graph, steps, now).left == minutes(10));
  for (StepProgress& step : steps) step.done = true;
  REQUIRE(rest_of(graph, steps, now).left == minutes(0));
}

TEST_CASE("the last success has an age") {
  const Timetable daily = table("0 3 * * *", "", hours(26));
  const sys_seconds last = at("2026-01-05 04:00");
  const auto judge = [&](const Progress& progress, const char* now) {
    return judge_freshness(daily, last, true, progress, hour, at(now));
  };
  Standing s = judge({}, "2026-01-05 05:00");  // the next slot is at 03:00, and done by 04:00
  REQUIRE(s.state == State::kept);
  REQUIRE(s.due == at("2026-01-06 06:00"));
  REQUIRE(s.turns == at("2026-01-06 05:00:01"));
  REQUIRE(judge(open_slot(), "2026-01-06 04:30").state == State::kept);
  s = judge(open_slot(), "2026-01-06 05:30");
  REQUIRE(s.state == State::at_risk);
  REQUIRE(s.by == minutes(30));
  Progress failed;
  failed.trouble = "run x failed";
  s = judge(failed, "2026-01-06 03:30");  // it comes again a day later
  REQUIRE(s.state == State::at_risk);
  REQUIRE(s.by == hours(22));
  REQUIRE(s.words ==
          "will be older than 1d2h for about 22h00m: run x failed; usual duration 50m00s, at times 1h00m");
  s = judge(failed, "2026-01-06 07:00");
  REQUIRE(s.state == State::missed);
  REQUIRE(s.by == hours(1));
  REQUIRE(s.words == "the last success is 1d3h old, and was never to be older than 1d2h: run x failed");
  s = judge_freshness(daily, last, false, open_slot(), std::nullopt, at("2026-01-06 07:00"));
  REQUIRE(s.words.starts_with("nothing has succeeded since the schedule was taken up, 1d3h ago"));
}

TEST_CASE("a standing without news turns at no other time than it says") {
  std::mt19937 random(7);
  const auto upto = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  const sys_seconds start = at("2026-01-05 00:00"), slot = start + hours(3);
  const Timetable timetable = table("0 3 * * *", "06:00", hours(26));
  for (int round = 0; round < 300; ++round) {
    Progress progress;
    progress.open = upto(2) == 0;
    if (upto(1) == 0) progress.begun = start + minutes(upto(400));
    if (!progress.open && !progress.begun) progress.trouble = "x";
    const auto usual =
        upto(3) == 0 ? std::nullopt : std::optional(Usual{3, minutes(upto(200)), minutes(200)});
    const auto follow = [&](sys_seconds until, const auto& judge) {
      sys_seconds now = std::max(start, progress.begun.value_or(start));
      for (Standing said = judge(now); now < until; now += seconds(30)) {
        const Standing real = judge(now);
        if (said.turns && *said.turns <= now) said = real;
        INFO(said.words << " / " << real.words);
        REQUIRE(real.state == said.state);
      }
    };
    follow(start + hours(8), [&](sys_seconds now) {
      return judge_deadline(timetable, {slot, start + hours(6)}, progress, usual, now);
    });
    // What comes of the next slot is news.
    const sys_seconds base = start - hours(20) - minutes(upto(300));
    follow(slot,
           [&](sys_seconds now) { return judge_freshness(timetable, base, true, progress, usual, now); });
  }
}

namespace {

/// A ledger with one schedule, runs of which are recorded by hand.
struct Place {
  Place()
      : workspace(Workspace::create(dir.path())), database(db::Database::open(workspace.database_path())) {}

  void adopt(const std::string& schedule, const char* now, bool serve = true) {
    const Pipeline pipeline =
        parse_pipeline("name: p\nschedule: " + schedule + "\nsteps: {a: {run: 'true'}}\n",
                       dir.path() + "/p.yaml", {.overrides = {}, .check_files = false});
    pipeline::Zones zones;
    Ledger(workspace, database).adopt(pipeline, timetables(pipeline, zones), at(now), serve);
  }

  void run(const char* begin, const char* end, RunState state) {
    RunRecord record;
    record.created_at = at(begin);
    record.id =
        util::id_prefix(record.created_at) + util::new_id().substr(util::id_prefix(record.created_at).size());
    record.pipeline = "p";
    db::Transaction transaction(database);
    db::insert_run(database.connection(), record, "", {}, {});
    StepRecord step;
    step.name = "a";
    step.state = state == RunState::succeeded ? StepState::succeeded : StepState::failed;
    db::insert_step(database.connection(), record.id, step);
    db::update_step(database.connection(), record.id, step);
    db::finish_run(database.connection(), record.id, state, "", std::nullopt, at(end),
                   std::chrono::milliseconds(at(end) - at(begin)).count());
    transaction.commit();
  }

  std::string standings(const char* now) {
    std::string text;
    for (const Promise& news : promises_of(workspace, database.connection(), at(now)))
      text += std::string(to_string(news.standing.kind)) + " " + to_string(news.standing.state) + "; ";
    return text;
  }

  std::size_t news(const char* now) {
    std::size_t count = 0;
    for (const Known& known : known_schedules(workspace, database.connection()))
      count += news_of_promises(
                   database, known.record,
                   standings_of(workspace, database.connection(), known.record, *known.timetable, at(now)))
                   .size();
    return count;
  }

  TempDir dir;
  Workspace workspace;
  db::Database database;
};

}  // namespace

TEST_CASE("promises are judged by what the database knows, and told once") {
  Place place;
  place.adopt("{cron: '0 3 * * *', timezone: UTC, deadline: '06:00', fresh_within: 26h}", "2026-01-04 12:00");
  REQUIRE(place.standings("2026-01-04 13:00") == "deadline kept; fresh_within kept; ");
  place.run("2026-01-05 03:00:01", "2026-01-05 04:00", RunState::succeeded);
  REQUIRE(place.standings("2026-01-05 05:00") == "deadline kept; fresh_within kept; ");
  REQUIRE(place.news("2026-01-05 07:00") == 0);
  // The next day nothing has begun: told an hour ahead, and again when it is missed, each once.
  REQUIRE(place.standings("2026-01-06 04:59") == "deadline kept; deadline kept; fresh_within kept; ");
  REQUIRE(place.news("2026-01-06 05:10") == 2);
  REQUIRE(place.news("2026-01-06 05:40") == 0);
  REQUIRE(place.news("2026-01-06 06:00") == 2);
  REQUIRE(place.news("2026-01-06 07:00") == 0);
  // A run that began since keeps the next one, one that failed does not.
  place.run("2026-01-06 07:00", "2026-01-06 07:05", RunState::failed);
  REQUIRE(place.standings("2026-01-06 08:00") == "deadline missed; deadline kept; fresh_within missed; ");
  place.run("2026-01-06 09:00", "2026-01-06 10:00", RunState::succeeded);
  const auto list = promises_of(place.workspace, place.database.connection(), at("2026-01-06 11:00"));
  REQUIRE(list.at(0).standing.made_up);
  REQUIRE(list.at(0).standing.by == hours(4));
  REQUIRE(list.at(2).standing.state == State::kept);
}

TEST_CASE("a run for a slot before does not keep the promise of a later one") {
  Place place;
  place.adopt("{cron: '0 3 * * *', timezone: UTC, deadline: '06:00'}", "2026-01-04 12:00");
  place.run("2026-01-06 03:10", "2026-01-06 04:00", RunState::succeeded);
  REQUIRE(place.standings("2026-01-06 05:00") == "deadline missed; deadline kept; ");
  const std::string id = *db::latest_run(place.database.connection(), "p", std::nullopt);
  db::Transaction transaction(place.database);
  SlotRecord slot;
  slot.schedule = 1;
  slot.at = at("2026-01-05 03:00");
  slot.outcome = SlotOutcome::ran;
  slot.run_id = id;
  db::put_slot(place.database.connection(), slot);
  transaction.commit();
  REQUIRE(place.standings("2026-01-06 05:20") == "deadline missed; deadline at_risk; ");
  // Nor does one of a backfill.
  place.run("2026-01-06 04:10", "2026-01-06 04:40", RunState::succeeded);
  REQUIRE(place.standings("2026-01-06 05:20") == "deadline missed; deadline kept; ");
  place.database.connection().execute(
      "INSERT INTO requests (queue, file, pipeline, options, priority, source, cause, backfill, not_before, "
      "state, run_id, "
      "submitted_at, submitted_by) SELECT 'q', 'p.yaml', 'p', '{}', 0, 'backfill', '', 1, '', 'started', "
      "max(id), '', '' FROM runs");
  REQUIRE(place.standings("2026-01-06 05:40") == "deadline missed; deadline at_risk; ");
}

TEST_CASE("what nobody looks at is stale") {
  Place place;
  place.adopt("{cron: '0 * * * *', timezone: UTC}", "2026-01-04 12:30");
  const auto stale = [&](const char* now) {
    return stale_schedules(place.workspace, place.database.connection(), at(now), minutes(5));
  };
  REQUIRE(stale("2026-01-04 13:05").empty());
  REQUIRE(stale("2026-01-04 13:06").size() == 1);
  REQUIRE(stale("2026-01-04 15:00").at(0).words ==
          "nobody has looked at its slot of 2026-01-04T13:00:00+00:00, due 2h00m ago");
  place.adopt("{cron: '0 * * * *', timezone: UTC}", "2026-01-04 12:30", false);
  REQUIRE(stale("2026-01-04 15:00").empty());
}
