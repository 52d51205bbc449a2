#include "engine/run_record.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "db/bundles.hpp"
#include "db/cache.hpp"
#include "db/runs.hpp"
#include "temp_dir.hpp"
#include "util/digest.hpp"
#include "util/time.hpp"

#include <nlohmann/json.hpp>

using namespace mlops;
using namespace mlops::engine;

namespace {

const std::string id = "01m8c0x3d5v9ts6e";
const std::string digest(64, 'a');

db::RunBundle example() {
  db::RunBundle b;
  b.definition = "steps: {a: {run: 'true'}}\n";
  b.run.id = id;
  b.run.pipeline = "p";
  b.run.definition = util::sha256(b.definition);
  b.run.state = RunState::failed;
  b.run.exit_code = 1;
  b.run.created_at = *util::parse_utc("2026-01-02 03:04:05.678");
  b.run.part_started_at = b.run.created_at;
  b.run.git_dirty = true;
  b.run.git_commit = "c0ffee";
  b.run.command_line = "mlops run 'ü'";
  b.params = {{"lr", "0.1"}};
  b.environment = {"HOME", "PATH"};
  StepRecord a;
  a.name = "a";
  a.state = StepState::succeeded;
  a.cache_key = "k";
  a.source_run = "01m8c0x3d5v9ts6d";
  a.source_step = 3;
  b.steps = {a};
  AttemptRecord attempt;
  attempt.attempt = 1;
  attempt.cause = "exited";
  attempt.exit_code = 0;
  attempt.max_rss_bytes = 5'000'000'000;
  b.attempts = {attempt};
  b.outputs = {{0, "rows", "200"}};
  b.artifacts = {{.step = 0,
                  .output = true,
                  .path = "out/model.bin",
                  .kind = "model",
                  .form = "file",
                  .sha256 = digest,
                  .size = 5,
                  .files = 1,
                  .kept = true,
                  .list = ""}};
  b.metrics = {{0, {"loss", 0, 0.1 + 0.2, std::nullopt}}, {0, {"loss", 1, std::nullopt, b.run.created_at}}};
  b.facts = {{0, "{\"command\": \"true\"}"}};
  b.cache = {{0, "k"}};
  return b;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

// A record whose digest fits, whatever else is wrong with it.
std::string forged(const std::string& from, const std::string& to) {
  const std::string text = replaced(write_run_record(example()), from, to);
  const std::size_t begin = text.find("\"record\": ") + 10;
  const std::string record = nlohmann::json::parse(text.substr(begin, text.rfind('}') - begin)).dump();
  return "{\"mlops_run\": 1, \"sha256\": \"" + util::sha256(record) + "\", \"record\": " + record + "}";
}

}  // namespace

TEST_CASE("a run survives the way through a record into another database") {
  const db::RunBundle read = read_run_record(write_run_record(example()), id);
  const TempDir dir;
  db::Database database = db::Database::open(dir / "x.db");
  for (int again = 0; again < 2; ++again) {
    db::Transaction transaction(database);
    db::write_bundle(database.connection(), read);
    transaction.commit();
  }
  const auto back = db::read_bundle(database.connection(), id);
  REQUIRE(back);
  REQUIRE(write_run_record(*back) == write_run_record(example()));
  REQUIRE(db::find_cached(database.connection(), "k")->maker.run == id);
  REQUIRE(back->run.git_dirty == true);
  REQUIRE(back->metrics[0].second.value == 0.1 + 0.2);
}

TEST_CASE("a record with a changed byte is refused") {
  const std::string text = write_run_record(example());
  REQUIRE_THROWS_AS(read_run_record(replaced(text, "0.1", "0.2"), id), Error);
  REQUIRE_THROWS_AS(read_run_record(replaced(text, "\"files\":1", "\"files\":2"), id), Error);
  for (std::size_t cut = 0; cut < text.size() - 1; cut += 7)
    REQUIRE_THROWS_AS(read_run_record(text.substr(0, cut), id), Error);
  REQUIRE_THROWS_AS(read_run_record(text, "01m8c0x3d5v9ts6f"), Error);
  for (const char* other :
       {"", "[]", "null", "{}", "{\"mlops_run\": 1}", "{\"mlops_run\": \"x\", \"record\": {}}",
        "{\"mlops_run\": 2, \"sha256\": \"\", \"record\": {}}"})
    REQUIRE_THROWS_AS(read_run_record(other, id), Error);
}

TEST_CASE("a record that fits its digest and lies is refused") {
  REQUIRE_NOTHROW(read_run_record(forged("\"rows\"", "\"cols\""), id));
  const std::pair<const char*, const char*> lies[] = {
      {"\"state\":\"failed\"", "\"state\":\"running\""},
      {"\"state\":\"failed\"", "\"state\":\"well\""},
      {"\"source_run\":\"01m8c0x3d5v9ts6d\"", "\"source_run\":\"../../../etc\""},
      {"\"created_at\":\"2026-01-02 03:04:05.678\"", "\"created_at\":\"yesterday\""},
      {"\"name\":\"a\"", "\"name\":7"},
      {"\"step\":0", "\"step\":-1"},
      {"\"step\":0", "\"step\":5"},
      {"\"value\":\"0.1\"", "\"value\":\"no json\""},
      {"\"because\":\"[]\"", "\"because\":\"[\""},
  };
  for (const auto& [from, to] : lies) {
    INFO(to);
    REQUIRE_THROWS_AS(read_run_record(forged(from, to), id), Error);
  }
}

TEST_CASE("results that would leave the work tree are never taken from the cache") {
  for (const char* path :
       {"/etc/passwd", "../x", "a/../../x", "a/..", ".mlops/mlops.db", "./.mlops/x", "", ".", "a\\u0000b"}) {
    INFO(path);
    const auto bundle = read_run_record(forged("out/model.bin", path), id);
    REQUIRE(bundle.cache.empty());
  }
  REQUIRE(is_inside("a/.mlops/x"));
  REQUIRE_FALSE(is_inside(".git/hooks/pre-commit"));
  REQUIRE_FALSE(is_inside("a/.git"));
  REQUIRE(is_inside("..."));
  REQUIRE(is_inside("a//b/./c"));
}

TEST_CASE("A record that refers to another one has the steps of that one and nothing else", "[run_record]") {
  db::RunBundle basis = example();
  for (StepRecord& step : basis.steps) {
    step.state = StepState::cached;
    step.attempts = 2;
  }
  const std::string of_basis = write_run_record(basis);
  RunRecord run = basis.run;
  run.id = "01m8c0x3d5v9ts7f";
  run.state = RunState::succeeded;
  const std::string text = write_repeat_record(run, {"LANG"}, id);
  const db::RunBundle b = read_run_record(text, run.id, [&] { return of_basis; });
  CHECK(b.run.id == run.id);
  CHECK(b.run.definition == basis.run.definition);
  CHECK(b.definition == basis.definition);
  CHECK(b.environment == std::vector<std::string>{"LANG"});
  CHECK(b.params == basis.params);
  REQUIRE(b.steps.size() == basis.steps.size());
  CHECK(b.steps[0].source_run == basis.steps[0].source_run);
  CHECK(b.steps[0].attempts == 0);
  CHECK(b.attempts.empty());
  CHECK(b.artifacts.empty());
  // Not from elsewhere, not of another run, not of one whose steps ran.
  CHECK_THROWS_AS(read_run_record(text, run.id), Error);
  CHECK_THROWS_AS(read_run_record(text, id, [&] { return of_basis; }), Error);
  CHECK_THROWS_AS(read_run_record(text, run.id, [&] { return text; }), Error);
  const std::string ran = write_run_record(example());
  CHECK_THROWS_AS(read_run_record(text, run.id, [&] { return ran; }), Error);
}
