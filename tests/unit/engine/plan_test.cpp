#include <mlops/plan.hpp>

#include "catch.hpp"
#include "util/strings.hpp"

using namespace mlops;

namespace {

const char* text = R"(
steps:
  ingest: {run: x}
  clean: {run: x, needs: ingest}
  train: {run: x, needs: clean, foreach: [a, b]}
  report: {run: x, needs: train}
  notify: {run: x}
)";

std::string selected(const Selection& selection) {
  const Pipeline pipeline = parse_pipeline(text, "p.yaml");
  std::vector<std::string> names;
  for (const PlannedStep& planned : make_plan(pipeline, make_graph(pipeline), selection).steps) {
    if (planned.selected) names.push_back(pipeline.steps[static_cast<std::size_t>(planned.step)].name);
  }
  return util::join(names, " ");
}

Selection only(std::vector<std::string> names) { return {std::move(names), {}, {}, {}}; }

}  // namespace

TEST_CASE("a plan is in an order in which its steps could run one by one") {
  REQUIRE(selected({}) == "ingest clean train@a train@b report notify");
}

TEST_CASE("steps are selected by name, by what comes after and by what is needed") {
  REQUIRE(selected(only({"clean", "train@b"})) == "clean train@b");
  REQUIRE(selected(only({"train"})) == "train@a train@b");
  REQUIRE(selected({{}, {"clean"}, {}, {}}) == "clean train@a train@b report");
  REQUIRE(selected({{}, {}, {"train@a"}, {}}) == "ingest clean train@a");
  REQUIRE(selected({{}, {}, {}, {"train", "notify"}}) == "ingest clean report");
  REQUIRE(selected({{}, {"clean"}, {"train@b"}, {}}) == "clean train@b");
}

TEST_CASE("a step left out has a reason, and an unknown one a suggestion") {
  const Pipeline pipeline = parse_pipeline(text, "p.yaml");
  const Graph graph = make_graph(pipeline);
  const Plan plan = make_plan(pipeline, graph, {{}, {"train"}, {}, {}});
  REQUIRE(plan.steps[0].reason == "before --from train");
  try {
    make_plan(pipeline, graph, only({"ingets"}));
    FAIL("accepted");
  } catch (const Error& error) {
    REQUIRE(error.code() == ExitCode::usage);
    REQUIRE(error.hint() == "did you mean 'ingest'?");
  }
}
