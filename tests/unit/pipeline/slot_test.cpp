#include "pipeline/conditions.hpp"
#include "pipeline/loading.hpp"

using namespace mlops;

namespace {

const SlotValues monday{"20260105T030000Z", "2026-01-04T03:00:00+00:00", "2026-01-05T03:00:00+00:00"};

Pipeline load_for(const std::string& text, std::optional<SlotValues> slot, bool check_files = false) {
  return parse_pipeline(text, "/p/p.yaml",
                        {.overrides = {}, .check_files = check_files, .slot = std::move(slot)});
}

const std::string everywhere = R"(name: p
schedule: "0 3 * * *"
env: {DAY: "${slot.end}"}
steps:
  get:
    run: get --from ${slot.start} --to ${slot.end}
    outputs: ["raw/${slot.id}.csv"]
  fit:
    run: [fit, "--day=${slot.end}"]
    inputs: ["raw/${slot.id}.csv", "days/${slot.id}"]
    env: {ID: "x${slot.id}"}
    when: slot.end >= '2026-01-05' and slot.id != 'x'
)";

}  // namespace

TEST_CASE("parts of the slot are filled in wherever params are") {
  const Pipeline p = load_for(everywhere, monday);
  REQUIRE(p.uses_slot);
  REQUIRE(p.slot == monday);
  REQUIRE(p.env.at("DAY") == monday.end);
  REQUIRE(p.steps[0].command.argv[0].literal() ==
          "get --from 2026-01-04T03:00:00+00:00 --to 2026-01-05T03:00:00+00:00");
  REQUIRE(p.steps[0].outputs[0].path == "raw/20260105T030000Z.csv");
  REQUIRE(p.steps[1].command.argv[1].literal() == "--day=2026-01-05T03:00:00+00:00");
  REQUIRE(p.steps[1].env.at("ID").literal() == "x20260105T030000Z");
  const pipeline::Conditions conditions(p);
  const auto nothing = [](const auto&, const auto&, const auto&) { return Json(); };
  REQUIRE(conditions.evaluate(p.steps[1], nothing).holds);
  const Pipeline before = load_for(everywhere, SlotValues{"x", "2025-01-04", "2025-01-05"});
  const params::Verdict verdict = pipeline::Conditions(before).evaluate(before.steps[1], nothing);
  REQUIRE_FALSE(verdict.holds);
  REQUIRE(verdict.why == "slot.end >= '2026-01-05' is false (\"2025-01-05\")");
}

TEST_CASE("for no slot its parts stand for themselves") {
  const Pipeline p = load_for(everywhere, std::nullopt);
  REQUIRE(p.uses_slot);
  REQUIRE_FALSE(p.slot);
  REQUIRE(p.steps[0].outputs[0].path == "raw/${slot.id}.csv");
  REQUIRE(p.steps[0].command.argv[0].literal() == "get --from '${slot.start}' --to '${slot.end}'");
  // Nobody knows yet which files are read.
  REQUIRE_NOTHROW(load_for(everywhere, std::nullopt, true));
  REQUIRE_THROWS_AS(load_for(everywhere, monday, true), BadFile);
  REQUIRE_FALSE(load_for("schedule: '@daily'\nsteps: {a: {run: echo slot.id}}\n", monday).uses_slot);
  REQUIRE(load_for("schedule: '@daily'\nsteps: {a: {run: echo, when: slot.id == 'x'}}\n", monday).uses_slot);
}

TEST_CASE("what is no part of the slot, or no place for one, is refused") {
  const auto problem = [](const std::string& text) {
    try {
      load_for(text, monday);
    } catch (const BadFile& error) {
      return error.problems().at(0).message + " | " + error.problems().at(0).hint;
    }
    return std::string("none");
  };
  const std::string daily = "schedule: '@daily'\n";
  REQUIRE(problem(daily + "steps: {a: {run: 'echo ${slot.begin}'}}\n") ==
          "'slot.begin' is not set | known: slot.id, slot.start, slot.end");
  REQUIRE(problem(daily + "steps: {a: {run: echo, when: slot.day == 'x'}}\n") ==
          "when: 'slot.day' is not set | known: slot.id, slot.start, slot.end");
  REQUIRE(problem("schedule: {cron: '@daily', start: \"${slot.end}\"}\nsteps: {a: {run: echo}}\n")
              .starts_with("'slot.end' has no value here"));
  REQUIRE(problem("steps: {a: {run: 'echo ${slot.id}'}}\n")
              .starts_with("${slot.…} stands for a slot, and the file has no schedule"));
  const std::string triggered = daily + "triggers: {files: a}\nsteps: {a: {run: 'echo ${slot.id}'}}\n";
  REQUIRE(problem(triggered) == "none");  // as that of a run for a slot
  REQUIRE_THROWS_AS(load_for(triggered, std::nullopt), BadFile);
  REQUIRE(problem(daily + "params: {a: \"${slot.id}\"}\nsteps: {a: {run: echo}}\n")
              .starts_with("params are values"));
  REQUIRE(problem(daily + "steps: {a: {run: 'echo \"${slot.id}\"'}}\n")
              .starts_with("${slot.id} stands inside quotes"));
}

TEST_CASE("the values of a slot come back from their JSON") {
  REQUIRE(parse_slot_values(to_json(monday)) == monday);
  REQUIRE_FALSE(parse_slot_values(Json()));
  REQUIRE_FALSE(parse_slot_values(Json{{"id", "x"}, {"start", 3}, {"end", "y"}}));
}
