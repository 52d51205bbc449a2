// What triggers see, and that an event and its request are one.
#include "triggers/events.hpp"

#include "catch.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "db/triggers.hpp"
#include "temp_dir.hpp"
#include "triggers/definition.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

#include <filesystem>

using namespace mlops;
using namespace mlops::triggers;

namespace {

/// A workspace with a pipeline that has one trigger.
struct Place {
  explicit Place(const std::string& trigger)
      : workspace(Workspace::create(dir.path())),
        database(db::Database::open(workspace.database_path())),
        events(workspace, database) {
    set(trigger);
  }

  void set(const std::string& trigger) {
    const Pipeline pipeline =
        parse_pipeline("name: p\ntriggers: " + trigger + "\nsteps: {a: {run: 'true'}}\n",
                       dir.path() + "/p.yaml", {.overrides = {}, .check_files = false});
    records = events.adopt(pipeline, true);
  }

  /// Looks, and tells what is new.
  std::string look() {
    std::string text;
    for (const EventRecord& event : events.look(records.at(0).id)) {
      if (event.outcome != EventOutcome::known) text += event.what + " " + to_string(event.outcome) + "; ";
    }
    return text;
  }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(dir / path).parent_path());
    util::write_file(dir / path, text);
  }

  /// A run that ended. `cause` is the fence of the request that it was for.
  std::string run(const std::string& pipeline, RunState state, std::optional<double> psi = {},
                  std::int64_t request = 0) {
    RunRecord run;
    run.id = util::new_id();
    run.pipeline = pipeline;
    run.definition = "d";
    run.created_at = util::now();
    run.steps = 1;
    db::Transaction transaction(database);
    db::Connection& connection = database.connection();
    db::insert_run(connection, run, "source", {}, {});
    StepRecord step;
    step.name = "drift";
    db::insert_step(connection, run.id, step);
    if (psi) db::put_metrics(connection, run.id, 0, {{"psi", 0, psi, {}}});
    db::finish_run(connection, run.id, state, "", 0, util::now(), 1);
    if (request > 0)
      database.connection()
          .prepare("UPDATE requests SET state = 'started', run_id = ? WHERE id = ?")
          .bind(run.id, request)
          .run();
    transaction.commit();
    return run.id;
  }

  std::size_t waiting() { return db::waiting_for(database.connection(), records.at(0).id).size(); }
  void start_all() {
    database.connection().execute("UPDATE requests SET state = 'started' WHERE state = 'waiting'");
  }
  std::vector<EventRecord> all(bool known = false) {
    return db::list_events(database.connection(), {.trigger = {}, .since = {}, .known = known});
  }

  TempDir dir;
  Workspace workspace;
  db::Database database;
  Events events;
  std::vector<TriggerRecord> records;
};

}  // namespace

TEST_CASE("a file counts by what it holds, not by when it was touched") {
  Place place("{files: [data/*.csv]}");
  place.write("data/a.csv", "1");
  REQUIRE(place.look().empty());  // what is there already is no event
  place.write("data/a.csv", "1");
  std::filesystem::last_write_time(place.dir / "data/a.csv", std::filesystem::file_time_type::clock::now());
  REQUIRE(place.look().empty());
  place.write("data/a.csv", "2");
  place.write("data/b.csv", "1");
  REQUIRE(place.look() == "1 changed, 1 new: data/a.csv, data/b.csv requested; ");
  REQUIRE(place.look().empty());
  std::filesystem::remove(place.dir / "data/b.csv");
  REQUIRE(place.look() == "1 gone: data/b.csv joined; ");  // the run that waits sees that as well
  REQUIRE(place.waiting() == 1);
  place.start_all();
  // Back to what it was before: that is a change, too.
  place.write("data/b.csv", "1");
  REQUIRE(place.look() == "1 new: data/b.csv requested; ");
}

TEST_CASE("a trigger begins anew when it looks at something else, and when it comes back") {
  Place place("{files: [a]}");
  place.write("a", "1");
  place.look();
  place.write("a", "2");
  place.write("b", "1");
  place.set("{files: [a], name: a, debounce: 5s}");  // the same files
  REQUIRE(place.look() == "1 changed: a requested; ");
  place.set("{files: [b], name: a}");
  REQUIRE(place.look().empty());
  place.write("b", "2");
  place.set("{files: [b], name: other}");
  REQUIRE(place.look().empty());
  REQUIRE(db::triggers(place.database.connection()).at(0).removed_at.has_value());
  place.write("b", "3");
  place.set("{files: [b], name: a}");
  REQUIRE(place.look().empty());
}

TEST_CASE("an event and its request are written together, once, whoever looks") {
  Place place("{files: [a]}");
  place.write("a", "1");
  place.look();
  place.write("a", "2");
  const auto before = *db::find_trigger(place.database.connection(), place.records[0].id);
  const Trigger trigger = trigger_of(before);
  const Sight sight =
      look(before, trigger,
           {place.workspace, place.database.connection(), place.dir / "p.yaml", place.dir.path()});
  // Two saw the same, and one has recorded it.
  REQUIRE(place.events.record(before, sight)->size() == 1);
  REQUIRE(!place.events.record(before, sight));
  REQUIRE(place.all().size() == 1);
  const EventRecord event = place.all()[0];
  const auto request = db::find_request(place.database.connection(), *event.request);
  REQUIRE(
      (request->file == "p.yaml" && request->source == "trigger" && request->state == RequestState::waiting));
  REQUIRE_THAT(request->cause, ContainsSubstring("1 changed: a"));
  REQUIRE(Json::parse(event.payload)["changed"] == Json::array({"a"}));
}

TEST_CASE("events of a paused trigger are on record without a run") {
  Place place("{files: [a]}");
  place.write("a", "1");
  place.look();
  place.events.pause(place.records[0], "moving");
  place.write("a", "2");
  REQUIRE(place.look() == "1 changed: a paused; ");
  REQUIRE(place.all()[0].reason == "paused: moving");
  place.events.resume(place.records[0]);
  REQUIRE(place.look().empty());
  REQUIRE(place.waiting() == 0);
}

TEST_CASE("other pipelines' successes: all of them since the last event, or any") {
  Place place("{succeeded: [x, y]}");
  place.run("x", RunState::succeeded);
  REQUIRE(place.look().empty());  // it begins now: what ended before is none of its business
  place.run("y", RunState::succeeded);
  REQUIRE(place.look().empty());
  place.run("x", RunState::failed);
  place.run("z", RunState::succeeded);
  REQUIRE(place.look().empty());
  const std::string x = place.run("x", RunState::succeeded);
  REQUIRE_THAT(place.look(),
               ContainsSubstring("run " + x + " of x") && ContainsSubstring("of y succeeded requested"));
  place.run("x", RunState::succeeded);
  REQUIRE(place.look().empty());  // y has not succeeded again
  place.set("{succeeded: {any: [x, y]}}");
  place.look();
  place.start_all();
  place.run("y", RunState::succeeded);
  place.run("x", RunState::succeeded);
  REQUIRE_THAT(place.look(),
               ContainsSubstring("of y succeeded requested") && ContainsSubstring("of x succeeded joined"));
}

TEST_CASE("pipelines do not start each other for ever") {
  Place place("{succeeded: [x]}");
  place.look();
  place.run("x", RunState::succeeded);
  REQUIRE_THAT(place.look(), ContainsSubstring("requested"));
  const std::int64_t request = *place.all()[0].request;
  // Its run starts x again, as an event of x's own trigger says.
  const std::string p = place.run("p", RunState::succeeded, {}, request);
  db::Connection& connection = place.database.connection();
  TriggerRecord other;
  other.file = "x.yaml";
  other.name = "after p";
  other.pipeline = "x";
  other.kind = "succeeded";
  other.id = db::put_trigger(connection, other);
  Sight sight;
  sight.happenings.push_back({"end 9", "p succeeded", {{"runs", {{{"pipeline", "p"}, {"run", p}}}}}});
  const auto events = place.events.record(other, sight);
  REQUIRE(events.value().size() == 1);
  place.run("x", RunState::succeeded, {}, *events->at(0).request);
  REQUIRE_THAT(place.look(), ContainsSubstring("refused"));
  REQUIRE_THAT(place.all().back().reason, ContainsSubstring("start each other for ever"));
  place.run("x", RunState::succeeded);  // by hand: that is another matter
  REQUIRE_THAT(place.look(), ContainsSubstring("requested"));
}

TEST_CASE("a metric is an event when its condition becomes true, not while it is") {
  Place place("{metric: {pipeline: m, when: drift.psi > 0.2}}");
  place.look();
  place.run("m", RunState::succeeded, 0.1);
  place.run("m", RunState::succeeded);  // says nothing of it
  REQUIRE(place.look().empty());
  const std::string above = place.run("m", RunState::failed, 0.3);
  place.run("m", RunState::succeeded, 0.4);
  place.run("other", RunState::succeeded, 0.1);
  REQUIRE_THAT(place.look(), ContainsSubstring("drift.psi > 0.2") && ContainsSubstring(above));
  REQUIRE(place.all().size() == 1);
  place.run("m", RunState::succeeded, 0.2);
  place.run("m", RunState::succeeded, 0.25);
  REQUIRE_THAT(place.look(), ContainsSubstring("drift.psi > 0.2"));
  REQUIRE(place.all().size() == 2);
}

TEST_CASE("each new row is an event, in turn when there are many") {
  Place place("{sql: {database: app.db, query: 'SELECT id, name FROM t ORDER BY id'}}");
  REQUIRE_THROWS_WITH(place.look(), ContainsSubstring("there is no database"));
  db::Connection app(place.dir / "app.db", db::Connection::Mode::read_write);
  app.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'old')");
  REQUIRE(place.look().empty());
  app.execute("INSERT INTO t VALUES (2, 'new'), (3, 'newer')");
  REQUIRE(place.look() == "row 2 appeared requested; row 3 appeared requested; ");
  REQUIRE(Json::parse(place.all()[1].payload)["row"] == Json({{"id", 3}, {"name", "newer"}}));
  REQUIRE(place.look().empty());
  REQUIRE(place.all(true).size() == 3);  // with the one that was there before
  app.execute("DELETE FROM t; INSERT INTO t VALUES (2, 'again')");
  REQUIRE(place.look().empty());
  app.execute(
      "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 209) INSERT INTO t SELECT "
      "i, '' FROM n");
  place.look();
  REQUIRE(place.waiting() == most_waiting);
  REQUIRE(place.look().empty());
  place.start_all();
  place.look();
  place.start_all();
  place.look();
  REQUIRE(place.all().size() == 202);  // none was lost
}

TEST_CASE("a query may ask for rows after the last one, and may not write or take for ever") {
  Place place(
      "{sql: {database: app.db, query: 'SELECT id FROM t WHERE id > coalesce(:last, 0) ORDER BY id'}}");
  db::Connection app(place.dir / "app.db", db::Connection::Mode::read_write);
  app.execute(
      "CREATE TABLE t (id INTEGER PRIMARY KEY);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT "
      "i FROM n");
  REQUIRE(place.look().empty());
  REQUIRE(place.all(true).empty());
  app.execute("INSERT INTO t VALUES (20001)");
  REQUIRE(place.look() == "row 20001 appeared requested; ");
  place.set("{sql: {database: app.db, query: 'SELECT id FROM t'}}");
  REQUIRE_THROWS_WITH(place.look(), ContainsSubstring("more than 10000 rows"));
  for (const char* query :
       {"DELETE FROM t", "PRAGMA journal_mode = WAL", "ATTACH ''x'' AS y", "SELECT nothing"}) {
    place.set(std::string("{sql: {database: app.db, query: '") + query + "'}}");
    REQUIRE_THROWS_AS(place.look(), Error);
    REQUIRE(!db::find_trigger(place.database.connection(), place.records[0].id)->problem.empty());
  }
  db::Connection slow(":memory:", db::Connection::Mode::read_write);
  slow.give_up_after(std::chrono::milliseconds(50));
  REQUIRE_THROWS_AS(
      slow.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"),
      db::SqliteError);
}
