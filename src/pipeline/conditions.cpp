#include "pipeline/conditions.hpp"

namespace mlops::pipeline {

params::StepNames step_names(const Pipeline& pipeline) {
  params::StepNames names;
  for (const Step& step : pipeline.steps) names.add(step.name, step.base);
  return names;
}

params::Condition Conditions::parse(const Step& step) const {
  std::vector<params::ConditionProblem> problems;
  // What is wrong with it was said, with hints, when the file was loaded.
  const params::ConditionScope scope{
      &pipeline_.params, &step.vars, &names_, false, false, pipeline_.slot ? &slot_ : nullptr};
  params::Condition condition = params::parse_condition(step.when, scope, problems);
  if (!problems.empty()) {
    throw Error(ExitCode::usage, "when of step '" + step.name + "': " + problems[0].message,
                problems[0].hint);
  }
  return condition;
}

params::Verdict Conditions::evaluate(const Step& step, const StepValue& value) const {
  if (step.when.empty()) return {true, ""};
  using Root = params::ConditionName::Root;
  return params::explain(parse(step), [&](const params::ConditionName& name) -> Json {
    switch (name.root) {
      case Root::state: return value(name.step, "state", "");
      case Root::exit_code: return value(name.step, "exit_code", "");
      case Root::output: return value(name.step, "outputs", name.path);
      case Root::metric: return value(name.step, "metrics", name.path);
      case Root::env:
        if (environment_.contains(name.path)) return environment_[name.path];
        break;
      case Root::params:
      case Root::matrix:
      case Root::item:
      case Root::key:
      case Root::slot: break;
    }
    return params::static_value(name, pipeline_.params, step.vars, slot_);
  });
}

}  // namespace mlops::pipeline
