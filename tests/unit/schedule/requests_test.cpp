#include "schedule/requests.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "db/requests.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "process/identity.hpp"
#include "schedule/ledger.hpp"
#include "schedule/times.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "workspace/config.hpp"

#include <unistd.h>

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const Instant noon = at("2026-01-01 12:00");

/// A workspace with requests, and a clock that stands still.
struct Place {
  Place()
      : workspace(Workspace::create(dir.path())),
        database(db::Database::open(workspace.database_path())),
        requests(workspace, database) {}

  RequestRecord request(const std::string& pipeline, int priority = 0, Instant not_before = noon) {
    RequestRecord r;
    r.file = pipeline + ".yaml";
    r.pipeline = pipeline;
    r.priority = priority;
    r.not_before = r.submitted_at = not_before;
    r.submitted_by = "anna";
    return r;
  }
  std::int64_t submit(const std::string& pipeline, int priority = 0, Instant not_before = noon) {
    return requests.submit(request(pipeline, priority, not_before)).value();
  }
  std::int64_t submit_to(const std::string& queue, const std::string& pipeline = "p") {
    RequestRecord r = request(pipeline);
    r.queue = queue;
    return requests.submit(r).value();
  }
  std::int64_t submit_limited(const std::string& pipeline, int concurrency) {
    RequestRecord r = request(pipeline);
    r.concurrency = concurrency;
    return requests.submit(r).value();
  }

  /// The pipelines of what is claimed, in order.
  std::string claim(std::size_t most = 100, Instant now = noon, std::vector<std::string> queues = {}) {
    claims = requests.claim(limits, {std::move(queues), most, std::nullopt}, [&] { return now; });
    std::string text;
    for (const ClaimedRequest& each : claims.claimed) text += each.request.pipeline + " ";
    return text;
  }

  /// As if the claim's run had begun, as run of nobody: it does not go on.
  bool start(const ClaimedRequest& claimed) {
    db::Transaction transaction(database);
    const bool well =
        db::start_request(database.connection(), claimed.claim.fence, claimed.claim.run_id, noon);
    transaction.commit();
    return well;
  }
  void kill_claimers() { database.connection().execute("UPDATE requests SET claimer = ''"); }
  RequestRecord find(std::int64_t id) { return db::find_request(database.connection(), id).value(); }
  std::string state(std::int64_t id) { return to_string(find(id).state); }

  TempDir dir;
  Workspace workspace;
  db::Database database;
  Requests requests;
  workspace::Config limits;
  Claims claims;
};

}  // namespace

TEST_CASE("requests are claimed by priority, then by their times, then in the order of submission") {
  Place place;
  place.submit("c");
  place.submit("d");
  place.submit("b", 0, noon - minutes(1));
  place.submit("e", -100);
  place.submit("a", 5);
  REQUIRE(place.claim(2) == "a b ");
  REQUIRE(place.claim() == "c d e ");
  REQUIRE(place.claim() == "");
  REQUIRE(place.claims.claimed.empty());
}

TEST_CASE("a request does not begin before its time, and tells when that is") {
  Place place;
  place.submit("later", 100, noon + minutes(5));
  place.submit("now");
  REQUIRE(place.claim() == "now ");
  REQUIRE(place.claims.next == noon + minutes(5));
  REQUIRE(place.claim(100, noon + minutes(5) - milliseconds(1)) == "");
  REQUIRE(place.claim(100, noon + minutes(5)) == "later ");
  REQUIRE_FALSE(place.claims.next);
}

TEST_CASE("there is one request of a key, whatever became of it") {
  Place place;
  RequestRecord r = place.request("p");
  r.dedupe = "event 1";
  const auto id = place.requests.submit(r);
  REQUIRE(id);
  REQUIRE_FALSE(place.requests.submit(r));
  REQUIRE(place.requests.cancel(*id));
  REQUIRE_FALSE(place.requests.submit(r));
  REQUIRE(db::request_with_key(place.database.connection(), "event 1")->id == *id);
  // What the caller's transaction does not commit was never asked for.
  r.dedupe = "event 2";
  {
    db::Transaction transaction(place.database);
    REQUIRE(place.requests.submit_within(transaction, r));
  }
  REQUIRE(place.requests.submit(r));
}

TEST_CASE("what a request has otherwise than was asked for is told") {
  Place place;
  const RequestRecord known = place.request("p");
  RequestRecord wanted = known;
  wanted.priority = 3;
  wanted.not_before += minutes(1);
  wanted.submitted_at += minutes(1);
  REQUIRE(differences(known, wanted, {}).empty());
  REQUIRE(differences(known, wanted, {.priority = true, .time = true}).size() == 2);
  wanted.file = "other.yaml";
  wanted.queue = "gpu";
  wanted.options = to_text({{"a=1", "b=2"}, std::nullopt});
  const auto list = differences(known, wanted, {.priority = true, .time = false});
  REQUIRE(list.size() == 4);
  REQUIRE(list[1] == "it has no --set, not --set a=1 --set b=2");
  REQUIRE(list[2] == "the queue default, not gpu");
  REQUIRE(list[3] == "the priority 0, not 3");
  REQUIRE(is_key_of_event(key_of_event(7)));
  REQUIRE_FALSE(is_key_of_event("events of today"));
}

TEST_CASE("a request is started once, by the last claim of it") {
  Place place;
  const auto id = place.submit("p");
  place.claim();
  const ClaimedRequest first = place.claims.claimed.at(0);
  place.kill_claimers();
  REQUIRE(place.claim() == "p ");
  const ClaimedRequest second = place.claims.claimed.at(0);
  REQUIRE(second.claim.fence > first.claim.fence);
  REQUIRE(second.claim.run_id != first.claim.run_id);
  REQUIRE_FALSE(place.start(first));
  REQUIRE_FALSE(place.requests.take_over(first.claim.fence));
  REQUIRE(place.requests.take_over(second.claim.fence));
  REQUIRE(place.start(second));
  REQUIRE_FALSE(place.start(second));
  REQUIRE(place.state(id) == "started");
  REQUIRE(db::request_of_run(place.database.connection(), second.claim.run_id)->id == id);
  // What comes too late changes nothing.
  place.requests.reject(second.claim.fence, "late");
  place.requests.put_back(second.claim.fence, true, "late");
  REQUIRE_FALSE(place.requests.cancel(id));
  REQUIRE_FALSE(place.requests.set_priority(id, 3));
  REQUIRE(place.state(id) == "started");
}

TEST_CASE("a fence never comes twice, of slots and of requests") {
  Place place;
  place.submit("p");
  place.claim();
  const std::int64_t fence = place.claims.claimed.at(0).claim.fence;
  place.requests.put_back(fence, false, "no process");
  {
    db::Transaction transaction(place.database);
    REQUIRE(db::next_fence(place.database.connection()) == fence + 1);
  }
  REQUIRE_FALSE(place.requests.take_over(fence));
  REQUIRE(place.claim() == "p ");
  REQUIRE(place.claims.claimed.at(0).claim.fence == fence + 1);
}

TEST_CASE("a request whose processes die is rejected in the end; the deaths of workers do not count") {
  Place place;
  const auto id = place.submit("p");
  for (int i = 0; i < 10; ++i) {
    REQUIRE(place.claim() == "p ");
    place.kill_claimers();
  }
  for (int i = 1; i <= most_attempts; ++i) {
    INFO(i);
    REQUIRE(place.claim() == "p ");
    REQUIRE(place.requests.take_over(place.claims.claimed.at(0).claim.fence)->request.attempts == i);
    place.kill_claimers();  // of a process of its own
    place.requests.put_back(place.claims.claimed.at(0).claim.fence, true, "it was ended by Killed");
  }
  REQUIRE(place.claim() == "");
  REQUIRE(place.state(id) == "rejected");
  REQUIRE(place.find(id).reason == "3 processes died before the run began: it was ended by Killed");
}

TEST_CASE("a claim that this process does not know of is given back") {
  Place place;
  const auto known = place.submit("a"), lost = place.submit("b");
  REQUIRE(place.claim() == "a b ");
  place.requests.put_back_unknown({place.claims.claimed.at(0).claim.fence});
  REQUIRE(place.state(known) == "claimed");
  REQUIRE(place.state(lost) == "waiting");
}

TEST_CASE("a request that was cancelled does not run, also when it was claimed") {
  Place place;
  const auto waiting = place.submit("a");
  const auto claimed = place.submit("b", 1);
  REQUIRE(place.claim(1) == "b ");
  REQUIRE(place.requests.cancel(waiting));
  REQUIRE(place.requests.cancel(claimed));
  REQUIRE_FALSE(place.requests.cancel(claimed));
  REQUIRE_FALSE(place.start(place.claims.claimed.at(0)));
  REQUIRE(place.claim() == "");
  REQUIRE_THROWS_AS(place.requests.cancel(99), Error);
}

TEST_CASE("requests are moved") {
  Place place;
  place.submit("a", 1'000);
  place.submit("b");
  const auto c = place.submit("c"), later = place.submit("later", 0, noon + minutes(9));
  REQUIRE(place.requests.set_priority(c, 7));
  const auto order = [&] {
    std::string text;
    for (const Outlook& each : place.requests.outlook({}, "", 0, noon)) text += each.request.pipeline + " ";
    return text;
  };
  REQUIRE(order() == "a c b later ");
  REQUIRE(place.requests.move_to_front(c, noon));
  REQUIRE(order() == "c a b later ");
  REQUIRE(place.requests.move_to_front(later, noon));
  REQUIRE(place.requests.move_to_front(later, noon));
  REQUIRE(place.claim() == "later c a b ");
}

TEST_CASE("a worker takes from its queues only, and requests of a larger priority than it was told") {
  Place place;
  place.submit_to("gpu", "a");
  place.submit_to("cpu", "b");
  place.submit("c", 5);
  REQUIRE(place.claim(100, noon, {"cpu"}) == "b ");
  const Claims urgent = place.requests.claim(place.limits, {{}, 10, 0}, [] { return noon; });
  REQUIRE(urgent.claimed.size() == 1);
  REQUIRE(urgent.claimed[0].request.pipeline == "c");
  REQUIRE(place.claim() == "a ");
}

TEST_CASE("a queue has its concurrency, and what it holds back lets others pass") {
  Place place;
  place.limits.queues = {{"gpu", 2, std::nullopt}};
  for (int i = 0; i < 4; ++i) place.submit_to("gpu", "g");
  place.submit("p", -5);
  REQUIRE(place.claim() == "g g p ");
  REQUIRE(place.claim() == "");
  REQUIRE_FALSE(place.claims.holders.empty());
  const auto outlook = place.requests.outlook(place.limits, "", 0, noon);
  REQUIRE(outlook.at(0).why == "2 runs of the queue 'gpu' go on, its concurrency");
  // Their runs have begun and are over: there is room.
  place.database.connection().execute("UPDATE requests SET state = 'started' WHERE state = 'claimed'");
  REQUIRE(place.claim() == "g g ");
}

TEST_CASE("a workspace has a number of runs, and a pipeline its concurrency, slots included") {
  Place place;
  for (int i = 0; i < 3; ++i) place.submit_limited("p", 1);
  place.submit("q");
  place.submit("r");
  place.limits.runs = 2;
  REQUIRE(place.claim() == "p q ");
  REQUIRE(place.claim() == "");
  REQUIRE(place.requests.outlook(place.limits, "", 0, noon).at(0).why ==
          "2 runs go on, as many as the workspace has at a time");
  place.limits.runs = 0;
  REQUIRE(place.claim() == "r ");
  place.kill_claimers();
  REQUIRE(place.claim() == "p q r ");
  // What its file says now counts for those that wait.
  Pipeline pipeline;
  pipeline.file = place.dir.path() + "/p.yaml";
  pipeline.concurrency = 2;
  place.requests.adopt(pipeline);
  REQUIRE(place.claim() == "p ");
  // A slot that is about to begin counts as well.
  place.database.connection().execute(
      "INSERT INTO schedules (file, name, pipeline, definition, cursor, since, created_at) "
      "VALUES ('s.yaml', 'main', 's', '{}', 0, 0, '2026-01-01 00:00:00.000');"
      "INSERT INTO slots (schedule, slot_at, local, outcome, until_at, fence, claimer, decided_at, going, "
      "run_id) "
      "VALUES (1, 0, '', 'claimed', 0, 999, '" +
      process::to_string(process::self()) + "', '2026-01-01 00:00:00.000', 0, 'x')");
  place.submit_limited("s", 1);
  REQUIRE(load_of(place.workspace, place.database.connection()).pipelines.count("s") == 0);
  REQUIRE(Ledger(place.workspace, place.database).let_go(999, {"", "s", 1, false}, {}).granted);
  REQUIRE(load_of(place.workspace, place.database.connection()).pipelines.at("s") == 1);
  REQUIRE(place.claim() == "");
}

TEST_CASE("a queue begins no more in a time than its rate says, however they are claimed") {
  Place place;
  place.limits.queues = {{"api", 0, workspace::parse_rate("3/m")}};
  for (int i = 0; i < 9; ++i) place.submit_to("api");
  REQUIRE(place.claim(2) == "p p ");
  REQUIRE(place.claim(100, noon + seconds(10)) == "p ");
  REQUIRE(place.claims.next == noon + minutes(1));
  REQUIRE(place.claim(100, noon + seconds(59)) == "");
  REQUIRE(place.claim(100, noon + seconds(60)) == "p p ");
  REQUIRE(place.claims.next == noon + seconds(70));
  REQUIRE(place.claim(100, noon + seconds(75)) == "p ");
  REQUIRE(place.requests.outlook(place.limits, "", 0, noon + seconds(75)).at(0).why.find("begins 3/m") !=
          std::string::npos);
  // In any minute of a long time there are at most three.
  for (int i = 0; i < 200; ++i) place.submit_to("api");
  std::vector<Instant> begun;
  for (int i = 0; i < 400; ++i) {
    const Instant now = noon + minutes(10) + seconds(3 * i) + milliseconds(i * 37 % 1'000);
    place.claim(1 + static_cast<std::size_t>(i) % 4, now);
    begun.insert(begun.end(), place.claims.claimed.size(), now);
  }
  for (std::size_t i = 3; i < begun.size(); ++i) REQUIRE(begun[i] - begun[i - 3] >= minutes(1));
  REQUIRE(begun.size() >= 57);
  // The time is that at which nobody else claims any more.
  place.database.connection().execute("UPDATE requests SET claimed_at = NULL");
  bool alone = false;
  place.requests.claim(place.limits, {{}, 1, std::nullopt}, [&] {
    db::Connection other(place.workspace.database_path(), db::Connection::Mode::read_write);
    try {
      other.execute("PRAGMA busy_timeout = 0; BEGIN IMMEDIATE");
    } catch (const std::exception&) {
      alone = true;
    }
    return noon;
  });
  REQUIRE(alone);
  place.database.connection().execute("UPDATE requests SET claimed_at = NULL");
  // A clock that was set back holds nothing up.
  REQUIRE(place.claim(100, noon - minutes(60 * 24 * 365)) == "");  // before their time
  place.database.connection().execute("UPDATE requests SET not_before = '2020-01-01 00:00:00.000'");
  REQUIRE(place.claim(100, noon - minutes(60 * 24 * 365)) == "p p p ");
}

TEST_CASE("a full queue takes no more") {
  Place place;
  place.database.connection().execute(
      "INSERT INTO requests (queue, file, pipeline, options, priority, source, cause, not_before, state, "
      "submitted_at, submitted_by) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i "
      "< " +
      std::to_string(most_waiting) +
      ") SELECT 'default', 'p.yaml', 'p', '{}', 0, 'submit', '', '2026-01-01 12:00:00.000', 'waiting', '', "
      "'' FROM n");
  REQUIRE_THROWS_AS(place.requests.submit(place.request("p")), Error);
  REQUIRE(place.requests.cancel(7));
  REQUIRE(place.requests.submit(place.request("p")));
  REQUIRE_THROWS_AS(place.requests.submit(place.request("p")), Error);
}

TEST_CASE("what a request gives to its run is kept as it was") {
  RequestRecord r;
  const RequestOptions options{{"a=1", "b=\"ü\" 'x'"}, SlotValues{"20260105T030000Z", "s", "e"}};
  r.options = to_text(options);
  REQUIRE(options_of(r).overrides == options.overrides);
  REQUIRE(options_of(r).slot->id == "20260105T030000Z");
  for (const char* text : {"", "[", "[]", "{}"}) {
    r.options = text;
    REQUIRE(options_of(r).overrides.empty());
    REQUIRE_FALSE(options_of(r).slot);
  }
}
