// One step of the file as a value.
#pragma once

#include "params/names.hpp"
#include "pipeline/expand.hpp"

namespace mlops::pipeline {

/// A step, with the places that checks over the whole pipeline report at.
struct ReadStep {
  Step step;
  std::vector<Location> inputs;   ///< of step.inputs
  std::vector<Location> outputs;  ///< of step.outputs
  std::vector<Location> metrics;  ///< of step.metrics
};

class StepReader {
 public:
  /// `scope` is that of the file; `defaults` is the map under `defaults:`, or null. What is passed must
  /// outlive the reader.
  StepReader(const Pipeline& pipeline, const params::Scope& scope, const params::StepNames& names,
             const util::YamlNode* defaults, Problems& problems)
      : pipeline_(pipeline), scope_(scope), names_(names), defaults_(defaults), problems_(problems) {}

  ReadStep read(const util::YamlEntry& entry, Variant variant) const;

 private:
  const Pipeline& pipeline_;
  const params::Scope scope_;
  const params::StepNames& names_;
  const util::YamlNode* defaults_;
  Problems& problems_;
};

}  // namespace mlops::pipeline
