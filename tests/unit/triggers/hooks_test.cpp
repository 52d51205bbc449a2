// Webhooks: who is believed, what is taken twice, and what is refused.
#include "triggers/hooks.hpp"

#include "catch.hpp"
#include "db/requests.hpp"
#include "db/triggers.hpp"
#include "temp_dir.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"

using namespace mlops;
using namespace mlops::triggers;

namespace {

struct Place {
  Place()
      : workspace(Workspace::create(dir.path())), database(db::Database::open(workspace.database_path())) {
    util::write_file(dir / "key", "a long secret\n");
    write("push");
    Events(workspace, database).adopt(load_pipeline(dir / "p.yaml"), true);
  }
  void write(const std::string& name) {
    util::write_file(dir / "p.yaml",
                     "name: p\nsecrets: {HOOK: {file: key}}\ntriggers: {webhook: HOOK, name: " + name +
                         "}\nsteps: {a: {run: 'true'}}\n");
  }
  static HookRequest request(const std::string& body, const std::string& id = "",
                             const std::string& secret = "a long secret") {
    HookRequest r{"push", {{"x-hub-signature-256", "sha256=" + util::hmac_sha256(secret, body).hex()}}, body};
    if (!id.empty()) r.headers["x-github-delivery"] = id;
    return r;
  }
  std::size_t events() { return db::list_events(database.connection(), {.trigger = {}, .since = {}}).size(); }

  TempDir dir;
  Workspace workspace;
  db::Database database;
};

const auto quiet = [](const std::string&) {};

}  // namespace

TEST_CASE("signatures are those of GitHub") {
  // The example of its documentation.
  const std::string signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  REQUIRE(is_signed("It's a Secret to Everybody", "Hello, World!", signature));
  REQUIRE(!is_signed("It's a Secret to Everybody", "Hello, World", signature));
  REQUIRE(!is_signed("It's a Secret", "Hello, World!", signature));
  for (const std::string& wrong :
       {std::string(), signature + "0", signature.substr(0, 70), "sha1=" + signature})
    REQUIRE(!is_signed("It's a Secret to Everybody", "Hello, World!", wrong));
}

TEST_CASE("a delivery is told by the id that its sender gave it, else by what it holds") {
  REQUIRE(delivery_key({"n", {{"x-github-delivery", "abc"}}, "x"}) == "delivery abc");
  REQUIRE(delivery_key({"n", {{"idempotency-key", "k"}}, "x"}) == "key k");
  REQUIRE(delivery_key({"n", {}, "x"}) == "body " + util::sha256("x"));
  REQUIRE(delivery_key({"n", {{"x-github-delivery", std::string(5'000, 'x')}}, "x"}).size() < 100);
}

TEST_CASE("a signed request is an event, once") {
  Place place;
  Hooks hooks(place.workspace, place.database, quiet);
  hooks.reload();
  const HookAnswer first = hooks.take(Place::request(R"({"ref": "main"})", "d1"));
  REQUIRE(first.status == 202);
  const HookAnswer again = hooks.take(Place::request(R"({"ref": "main"})", "d1"));
  REQUIRE((again.status == 200 && again.body["event"] == first.body["event"] && again.body["again"] == true));
  REQUIRE(hooks.take(Place::request(R"({"ref": "main"})", "d2")).status == 202);
  REQUIRE(hooks.take(Place::request("no json")).status == 202);
  REQUIRE(hooks.take(Place::request("no json")).status == 200);
  REQUIRE(place.events() == 3);
  const auto events = db::list_events(place.database.connection(), {.trigger = {}, .since = {}});
  REQUIRE(Json::parse(events[0].payload)["body"]["ref"] == "main");
  REQUIRE(Json::parse(events[2].payload)["body"] == "no json");
  REQUIRE(events[0].payload.find("signature") == std::string::npos);
}

TEST_CASE("an id tells deliveries of one sender to one trigger from each other") {
  Place place;
  util::write_file(place.dir / "q.yaml",
                   "name: q\nsecrets: {HOOK: {file: key}}\n"
                   "triggers: [{webhook: HOOK, name: push}, {webhook: HOOK, name: pull}]\n"
                   "steps: {a: {run: 'true'}}\n");
  Events(place.workspace, place.database).adopt(load_pipeline(place.dir / "q.yaml"), true);
  Hooks hooks(place.workspace, place.database, quiet);
  hooks.reload();
  // Both pipelines have a hook of this name.
  REQUIRE(hooks.take(Place::request("x", "d1")).status == 202);
  REQUIRE(place.events() == 2);
  HookRequest other = Place::request("x", "d1");
  other.name = "pull";
  REQUIRE(hooks.take(other).status == 202);
  REQUIRE(place.events() == 3);
  HookRequest key = Place::request("x");
  key.headers["idempotency-key"] = "d1";
  REQUIRE(hooks.take(key).status == 202);
  REQUIRE(place.events() == 5);
  REQUIRE(hooks.take(key).status == 200);
}

TEST_CASE("requests that are not signed, or that nobody expects, are no events") {
  Place place;
  Hooks hooks(place.workspace, place.database, quiet);
  hooks.reload();
  REQUIRE(hooks.take(Place::request("x", "d", "another secret")).status == 401);
  REQUIRE(hooks.take({"push", {}, "x"}).status == 401);
  HookRequest other = Place::request("x");
  other.name = "pull";
  REQUIRE(hooks.take(other).status == 404);
  HookRequest ping = Place::request("x");
  ping.headers["x-github-event"] = "ping";
  REQUIRE(hooks.take(ping).status == 200);
  REQUIRE(place.events() == 0);
}

TEST_CASE("what waits is limited, and a sender who is told so may come again") {
  Place place;
  Hooks hooks(place.workspace, place.database, quiet);
  hooks.reload();
  for (std::size_t i = 0; i < most_waiting; ++i)
    REQUIRE(hooks.take(Place::request("x", std::to_string(i))).status == 202);
  const HookAnswer full = hooks.take(Place::request("x", "one more"));
  REQUIRE((full.status == 429 && full.retry_after > 0));
  REQUIRE(hooks.take(Place::request("x", "5")).status == 200);
  place.database.connection().execute("UPDATE requests SET state = 'started' WHERE id = 1");
  REQUIRE(hooks.take(Place::request("x", "one more")).status == 202);
}

TEST_CASE("a hook without its secret is refused, and says why to its owner only") {
  Place place;
  util::write_file(place.dir / "key", "short");
  std::string said;
  Hooks hooks(place.workspace, place.database, [&](const std::string& text) { said += text; });
  hooks.reload();
  REQUIRE_THAT(said, ContainsSubstring("fewer than 8 characters"));
  const HookAnswer answer = hooks.take(Place::request("x", "", "short"));
  REQUIRE((answer.status == 503 && answer.body.dump().find("characters") == std::string::npos));
  util::write_file(place.dir / "key", "a long secret");
  hooks.reload();
  REQUIRE(hooks.take(Place::request("x")).status == 202);
}
