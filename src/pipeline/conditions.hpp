// The `when:` of a pipeline's steps, ready to be evaluated while it runs.
#pragma once

#include <mlops/pipeline.hpp>

#include "params/condition.hpp"
#include "params/names.hpp"

#include <functional>
#include <string>
#include <utility>

namespace mlops::pipeline {

/// The names of a pipeline's steps, for references and conditions.
params::StepNames step_names(const Pipeline& pipeline);

class Conditions {
 public:
  /// What a run knows of a step: `field` is "state", "exit_code", "outputs" or "metrics", the last two with a
  /// `key`. Null if there is no value.
  using StepValue =
      std::function<Json(const std::string& step, const std::string& field, const std::string& key)>;

  /// `pipeline` must outlive this. `environment` has the variables that are not to be asked of the process:
  /// their values, or null for those that are not set.
  explicit Conditions(const Pipeline& pipeline, Json environment = {})
      : pipeline_(pipeline),
        environment_(std::move(environment)),
        names_(step_names(pipeline)),
        slot_(pipeline.slot ? to_json(*pipeline.slot) : Json()) {}

  /// Whether `step` is to run, and why. Throws Error(usage) when its condition cannot be decided.
  params::Verdict evaluate(const Step& step, const StepValue& value) const;

  /// The condition of `step`, which must have one.
  params::Condition parse(const Step& step) const;

 private:
  const Pipeline& pipeline_;
  Json environment_;
  params::StepNames names_;
  Json slot_;
};

}  // namespace mlops::pipeline
