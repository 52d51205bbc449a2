// Files of params: YAML, JSON, TOML and Python, told by their names.
#pragma once

#include <mlops/error.hpp>

#include "pipeline/dvc/value.hpp"

#include <string>
#include <string_view>

namespace mlops::pipeline::dvc {

/// The values in a params file. `name` tells the format (.json, .toml, .py; anything else is YAML). Throws
/// BadFile with every problem.
OrderedJson parse_params(std::string_view text, const std::string& name);

}  // namespace mlops::pipeline::dvc
