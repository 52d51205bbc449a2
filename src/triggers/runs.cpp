// Ends of runs, in the order in which they were recorded: whoever started them, a daemon or a shell.
#include "db/steps.hpp"
#include "db/triggers.hpp"
#include "params/condition.hpp"
#include "triggers/definition.hpp"
#include "triggers/look.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <set>

namespace mlops::triggers {

namespace {

constexpr int most_ends = 1'000;  // a look; the next one goes on

// Whether the run was started, through however many events, by this trigger: then one more event of it would
// be the second round of a circle.
bool comes_from(db::Connection& connection, std::int64_t trigger, const std::string& run_id) {
  constexpr std::size_t most = 1'000;
  std::set<std::string> seen;
  std::vector<std::string> open = {run_id};
  while (!open.empty() && seen.size() < most) {
    const std::string id = std::move(open.back());
    open.pop_back();
    if (!seen.insert(id).second) continue;
    const auto event = db::event_of_run(connection, id);
    if (!event) continue;
    if (event->trigger == trigger) return true;
    const Json payload = Json::parse(event->payload, nullptr, false);
    if (!payload.is_object() || !payload.contains("runs")) continue;
    for (const Json& cause : payload["runs"]) open.push_back(cause.value("run", ""));
  }
  return false;
}

std::string why_a_circle(const TriggerRecord& record, const Scene& scene, const std::string& run_id) {
  if (!comes_from(scene.connection, record.id, run_id)) return {};
  return "run " + run_id +
         " goes back to an earlier event of this trigger: the pipelines would start each other for ever";
}

// The metrics of a run by the names that a condition may use: as logged, and behind that of the step.
Json value_in(const std::vector<MetricRecord>& metrics, const std::vector<StepRecord>& steps,
              const std::string& name) {
  Json value;
  for (const MetricRecord& metric : metrics) {
    const auto step = std::ranges::find(steps, metric.step, &StepRecord::step);
    const std::string with_step = step == steps.end() ? "" : step->name + "." + metric.name;
    if (metric.value && (metric.name == name || with_step == name)) value = *metric.value;
  }
  return value;
}

}  // namespace

Sight look_at_successes(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  Json state = state_of(record);
  Sight sight;
  if (state.is_null()) {  // what ended before is none of its business
    sight.state = Json{{"after", db::last_run_end(scene.connection)}, {"runs", Json::object()}}.dump();
    return sight;
  }
  Json& runs = state["runs"];  // of each pipeline the last success since the last event
  const auto ends = db::run_ends_after(scene.connection, state.value("after", std::int64_t{0}),
                                       trigger.pipelines, most_ends);
  for (const RunEnd& end : ends) {
    state["after"] = end.sequence;
    if (end.state != RunState::succeeded) continue;
    runs[end.pipeline] = end.run_id;
    const bool complete = trigger.any || std::ranges::all_of(trigger.pipelines, [&](const auto& name) {
                            return runs.contains(name);
                          });
    if (!complete) continue;
    Happening happening{"end " + std::to_string(end.sequence), "", {{"runs", Json::array()}}};
    std::vector<std::string> words;
    for (const auto& [pipeline, run] : runs.items()) {
      happening.payload["runs"].push_back({{"pipeline", pipeline}, {"run", run}});
      words.push_back("run " + run.get<std::string>() + " of " + pipeline);
    }
    happening.what = util::join(words, ", ") + " succeeded";
    happening.refused = why_a_circle(record, scene, end.run_id);
    sight.happenings.push_back(std::move(happening));
    runs = Json::object();
  }
  std::vector<std::string> waits;
  for (const std::string& name : trigger.pipelines) {
    if (!runs.contains(name)) waits.push_back(name);
  }
  sight.words = "waits for a success of " + util::join(waits, trigger.any ? " or " : " and ");
  if (!ends.empty()) sight.state = state.dump();
  return sight;
}

Sight look_at_metrics(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  params::ConditionScope scope;
  scope.metrics = true;
  std::vector<params::ConditionProblem> problems;
  const params::Condition condition = params::parse_condition(trigger.condition, scope, problems);
  if (!problems.empty())
    throw Error(ExitCode::usage,
                "cannot read the condition '" + trigger.condition + "': " + problems[0].message);
  Json state = state_of(record);
  Sight sight;
  if (state.is_null()) {
    sight.state = Json{{"after", db::last_run_end(scene.connection)}, {"holds", nullptr}, {"why", ""}}.dump();
    return sight;
  }
  const auto ends = db::run_ends_after(scene.connection, state.value("after", std::int64_t{0}),
                                       trigger.pipelines, most_ends);
  for (const RunEnd& end : ends) {
    state["after"] = end.sequence;
    const auto metrics = db::metrics_of(scene.connection, end.run_id);
    const auto steps = db::steps_of(scene.connection, end.run_id);
    Json values = Json::object();
    for (const params::ConditionName& name : condition.names())
      values[name.path] = value_in(metrics, steps, name.path);
    // A run that did not log them says nothing.
    if (std::ranges::any_of(values, [](const Json& value) { return value.is_null(); })) continue;
    const params::Verdict verdict =
        params::explain(condition, [&](const params::ConditionName& name) { return values[name.path]; });
    const bool before = state["holds"].is_boolean() && state["holds"].get<bool>();
    state["holds"] = verdict.holds;
    state["why"] = verdict.why;
    if (!verdict.holds || before) continue;
    sight.happenings.push_back({"end " + std::to_string(end.sequence),
                                verdict.why + " in run " + end.run_id + " of " + end.pipeline,
                                {{"runs", {{{"pipeline", end.pipeline}, {"run", end.run_id}}}},
                                 {"condition", trigger.condition},
                                 {"metrics", values}},
                                why_a_circle(record, scene, end.run_id)});
  }
  sight.words = state["holds"].is_boolean() ? state.value("why", "") : "no run has logged it yet";
  if (!ends.empty()) sight.state = state.dump();
  return sight;
}

}  // namespace mlops::triggers
