#include "engine/kept_record.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

using namespace mlops;
using namespace mlops::engine;

namespace {

db::RunBundle example() {
  db::RunBundle b;
  b.run.id = "01m8c0x3d5v9ts6e";
  b.run.pipeline = "p";
  b.run.state = RunState::failed;
  b.run.exit_code = 1;
  b.params = {{"lr", "0.1"}};
  StepRecord step;
  step.name = "a";
  step.state = StepState::cached;
  step.source_run = "01m8c0x3d5v9ts6d";
  b.steps = {step};
  b.artifacts = {{.step = 0,
                  .output = true,
                  .path = "model.bin",
                  .kind = "model",
                  .sha256 = std::string(64, 'a'),
                  .list = {}}};
  b.metrics = {{0, MetricPoint{"loss", 1, 0.5, std::nullopt}}};
  return b;
}

}  // namespace

TEST_CASE("What rows have otherwise than the record of a run is named", "[kept_record]") {
  const db::RunBundle kept = example();
  CHECK(difference(example(), kept).empty());
  db::RunBundle rows = example();
  rows.run.exit_code = 0;
  CHECK(difference(rows, kept) == "run exit_code is 0 instead of 1");
  rows = example();
  rows.artifacts[0].path = "mod\n.bin";
  CHECK(difference(rows, kept).find("artifacts path is 'mod\\n.bin' instead of 'model.bin'") == 0);
  rows = example();
  rows.metrics[0].second.value = std::nullopt;
  CHECK(difference(rows, kept) == "metrics value is null instead of 0.5");
  rows = example();
  rows.params.clear();
  CHECK(difference(rows, kept) == "params: 0 instead of 1");
  rows = example();
  rows.artifacts[0].list = std::string(64, 'b');
  CHECK(difference(rows, kept) == "artifacts has more than it should");
}

TEST_CASE("What may change after the end of a run is no difference", "[kept_record]") {
  db::RunBundle rows = example();
  rows.steps[0].source_run = "01m8c0x3d5v9ts6c";
  rows.artifacts[0].kind = "weights";
  rows.cache = {{0, "key"}};
  rows.tags = {{"release", "1"}};
  CHECK(difference(rows, example()).empty());
}

TEST_CASE("Runs that were deleted are noted once for all", "[kept_record]") {
  const TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  CHECK(removed_runs(workspace).empty());
  note_removal(workspace, {"01m8c0x3d5v9ts6e", "01m8c0x3d5v9ts6f"});
  note_removal(workspace, {"01m8c0x3d5v9ts6g"});
  CHECK(removed_runs(workspace).size() == 3);
  CHECK(removed_runs(workspace).contains("01m8c0x3d5v9ts6f"));
}

TEST_CASE("An id tells when it was made", "[id]") {
  const Instant moment = *util::parse_utc("2026-01-02 03:04:05.678");
  CHECK(util::time_of_id(util::id_prefix(moment) + "abcdef") == moment);
}
