// What the end of a run leaves in the outbox, in a real database.
#include "notify/outbox.hpp"

#include "catch.hpp"
#include "db/outbox.hpp"
#include "db/runs.hpp"
#include "temp_dir.hpp"
#include "util/time.hpp"

using namespace mlops;
using namespace mlops::notify;

namespace {

struct Place {
  TempDir dir;
  db::Database database = db::Database::open(dir / "mlops.db");
  int runs = 0;

  // The messages, as "occasion state", oldest first.
  std::vector<std::string> end(const std::vector<Addressee>& addressees, RunState state, int code) {
    RunRecord run;
    run.id = "run" + std::to_string(++runs);
    run.pipeline = "churn";
    run.created_at = util::now();
    db::Transaction transaction(database);
    db::insert_run(database.connection(), run, "", {}, {});
    db::finish_run(database.connection(), run.id, state, "why", code, util::now(), 5);
    tell_end(database.connection(), addressees, run.id);
    transaction.commit();
    std::vector<std::string> list;
    for (const MessageRecord& m : db::messages_of_run(database.connection(), run.id))
      list.push_back(m.notification + " " + m.occasion + " " + to_string(m.state));
    return list;
  }
};

Addressee to(const std::string& name, std::vector<Occasion> on, std::chrono::milliseconds every = {}) {
  Addressee addressee;
  addressee.entry.name = name;
  addressee.entry.kind = Notification::Kind::webhook;
  addressee.entry.preset = "json";
  addressee.entry.secret = "URL";
  addressee.entry.on = std::move(on);
  addressee.entry.every = every;
  addressee.secret = Secret{"URL", Secret::Source::env, {"URL"}};
  addressee.directory = "/p";
  return addressee;
}

using List = std::vector<std::string>;

}  // namespace

TEST_CASE("failures and recoveries are told, successes only to who asks") {
  Place p;
  const std::vector<Addressee> both = {to("usual", {Occasion::failure, Occasion::recovery}),
                                       to("every", {Occasion::success, Occasion::refused})};
  REQUIRE(p.end(both, RunState::succeeded, 0) == List{"every success waiting"});
  REQUIRE(p.end(both, RunState::failed, 1) == List{"usual failure waiting"});
  REQUIRE(p.end(both, RunState::failed, 1) == List{"usual failure waiting"});
  REQUIRE(p.end(both, RunState::cancelled, 130).empty());
  REQUIRE(p.end(both, RunState::failed, 3) == List{"every refused waiting"});
  REQUIRE(p.end(both, RunState::succeeded, 0) == List{"usual recovery waiting", "every success waiting"});
  REQUIRE(p.end(both, RunState::succeeded, 0) == List{"every success waiting"});
  REQUIRE(p.end({}, RunState::failed, 1).empty());
  const auto told = db::list_messages(p.database.connection(), {});
  REQUIRE(told.size() == 7);
  for (const MessageRecord& message : told) {
    if (message.occasion != "recovery") continue;
    const Json body = Json::parse(message.body);
    REQUIRE(body["failures"] == 2);
    REQUIRE(body["run"]["state"] == "succeeded");
  }
}

TEST_CASE("a limit leaves out what comes too soon, and the next one says so") {
  Place p;
  std::vector<Addressee> one = {to("usual", {Occasion::failure, Occasion::recovery}, std::chrono::hours(1))};
  REQUIRE(p.end(one, RunState::failed, 1) == List{"usual failure waiting"});
  REQUIRE(p.end(one, RunState::failed, 1) == List{"usual failure suppressed"});
  REQUIRE(p.end(one, RunState::failed, 1) == List{"usual failure suppressed"});
  REQUIRE(p.end(one, RunState::succeeded, 0) == List{"usual recovery waiting"});  // each occasion by itself
  one[0].entry.every = {};
  REQUIRE(p.end(one, RunState::failed, 1) == List{"usual failure waiting"});
  const auto last = db::list_messages(p.database.connection(), {.state = {}, .since = {}, .limit = 1});
  REQUIRE(Json::parse(last.at(0).body)["left_out"] == 2);
}

TEST_CASE("a backfill tells of failures and recoveries, not of successes") {
  Place p;
  const std::vector<Addressee> all = {to("all", {Occasion::failure, Occasion::recovery, Occasion::success})};
  for (const char* run : {"run1", "run2", "run3"}) {
    db::Transaction transaction(p.database);
    p.database.connection()
        .cached(
            "INSERT INTO requests (queue, file, pipeline, options, priority, source, cause, backfill, "
            "not_before, state, run_id, submitted_at, submitted_by) "
            "VALUES ('q', 'f', 'churn', '{}', 0, 'backfill', '', 1, '', 'started', ?, '', '')")
        .bind(run)
        .run();
    transaction.commit();
  }
  REQUIRE(p.end(all, RunState::succeeded, 0).empty());
  REQUIRE(p.end(all, RunState::failed, 1) == List{"all failure waiting"});
  REQUIRE(p.end(all, RunState::succeeded, 0) == List{"all recovery waiting"});
  REQUIRE(p.end(all, RunState::succeeded, 0) == List{"all success waiting"});
}

TEST_CASE("lateness is told once for each promise") {
  Place p;
  Pipeline pipeline;
  pipeline.name = "churn";
  pipeline.notifications = {to("late", {Occasion::late}).entry, to("usual", {Occasion::failure}).entry};
  for (const char* slot :
       {"2026-01-05T03:00:00+00:00", "2026-01-05T03:00:00+00:00", "2026-01-06T03:00:00+00:00"}) {
    db::Transaction transaction(p.database);
    tell_late(p.database.connection(), pipeline, {slot, slot, "not done by 06:00", ""});
    transaction.commit();
  }
  const auto told = db::list_messages(p.database.connection(), {});
  REQUIRE(told.size() == 2);
  REQUIRE(told[0].occasion == "late");
  REQUIRE(Json::parse(told[0].body)["slot"] == "2026-01-06T03:00:00+00:00");
}

TEST_CASE("an addressee comes back from JSON as it was, and the outbox knows no values of secrets") {
  Addressee all = to("x", {Occasion::late, Occasion::success}, std::chrono::minutes(5));
  all.entry.text = "a \1run.id\2";
  const Addressee back = read_addressee(to_json(all));
  REQUIRE(to_json(back) == to_json(all));
  REQUIRE(back.secret->from == List{"URL"});
  REQUIRE(place_of(back) == "secret URL");
  Addressee command;
  command.entry.kind = Notification::Kind::command;
  command.entry.argv = {"echo \x1b[31m"};
  command.entry.shell = true;
  command.entry.on = {Occasion::failure};
  command.unsaid = {Secret{"KEY", Secret::Source::file, {"key.txt"}}};
  REQUIRE(to_json(read_addressee(to_json(command))) == to_json(command));
  REQUIRE(read_addressee(to_json(command)).unsaid.at(0).from == List{"key.txt"});
  REQUIRE(read_addressee(to_json(command)).entry.shell);
  REQUIRE(place_of(command) == "echo \\x1b[31m");
  for (const char* text : {"null", "[]", "{}", R"({"kind":"webhook","name":"x","on":[],"directory":"/"})",
                           R"({"kind":"pigeon","name":"x","on":[],"directory":"/"})",
                           R"({"kind":"email","name":"x","on":["never"],"directory":"/","to":["a@b"]})"})
    REQUIRE_THROWS_AS(read_addressee(Json::parse(text)), Error);
}

TEST_CASE("a message is claimed by one process, and those of dead ones are seen") {
  Place p;
  p.end({to("usual", {Occasion::failure})}, RunState::failed, 1);
  db::Connection& connection = p.database.connection();
  auto due = db::due_messages(connection, util::now(), "", 10);
  REQUIRE(due.size() == 1);
  {
    db::Transaction transaction(p.database);
    REQUIRE(db::claim_message(connection, due[0].id, "me"));
    REQUIRE_FALSE(db::claim_message(connection, due[0].id, "other"));
    transaction.commit();
  }
  REQUIRE(db::due_messages(connection, util::now(), "", 10).empty());
  REQUIRE(db::claimed_messages(connection).size() == 1);
  REQUIRE(db::next_message_at(connection));
  due[0].state = MessageState::sent;
  {
    db::Transaction transaction(p.database);
    REQUIRE_FALSE(db::settle_message(connection, due[0], "other"));
    REQUIRE_FALSE(db::settle_message(connection, due[0], ""));
    REQUIRE(db::settle_message(connection, due[0], "me"));
    REQUIRE_FALSE(db::settle_message(connection, due[0], ""));
    transaction.commit();
  }
  REQUIRE_FALSE(db::next_message_at(connection));
  REQUIRE(db::claimed_messages(connection).empty());
  make_due(p.database, db::list_messages(connection, {}));
  REQUIRE_FALSE(db::next_message_at(connection));  // what was sent is not sent again
}
