// The value of `notify:`.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/fields.hpp"

#include <vector>

namespace mlops::pipeline {

/// A map, or a list of them. `pipeline` has its secrets already.
std::vector<Notification> read_notifications(const util::YamlNode& node, const Fields& fields,
                                             const params::Scope& scope, const Pipeline& pipeline);

}  // namespace mlops::pipeline
