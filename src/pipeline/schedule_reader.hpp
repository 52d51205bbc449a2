// The value of `schedule:`.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/fields.hpp"

#include <vector>

namespace mlops::pipeline {

/// A text, a map, or a list of them. With `check_files` time zones and files of `except` must be there.
std::vector<Schedule> read_schedules(const util::YamlNode& node, const Fields& fields,
                                     const Pipeline& pipeline, bool check_files);

}  // namespace mlops::pipeline
