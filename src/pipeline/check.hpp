// What can only be seen when every step is known.
#pragma once

#include "pipeline/step_reader.hpp"

namespace mlops::pipeline {

/// Reports files made twice, inputs that nobody makes (if `files`) and cycles. `places[i]` belongs to
/// `pipeline.steps[i]`, whose copy in it is empty.
void check(const Pipeline& pipeline, const std::vector<ReadStep>& places, bool files, Problems& problems);

}  // namespace mlops::pipeline
