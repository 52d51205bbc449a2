// The value of `triggers:`.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/fields.hpp"

#include <vector>

namespace mlops::pipeline {

/// A map, or a list of them.
std::vector<Trigger> read_triggers(const util::YamlNode& node, const Fields& fields,
                                   const Pipeline& pipeline);

/// Reports triggers that look at what a step of the same pipeline makes: it would start itself.
void check_triggers(const util::YamlNode& node, const Pipeline& pipeline, Problems& problems);

}  // namespace mlops::pipeline
