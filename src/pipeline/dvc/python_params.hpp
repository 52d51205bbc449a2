// Params in a Python file: assignments of literals, and those in class bodies and __init__ methods.
#pragma once

#include <mlops/dvc.hpp>

#include <string_view>

namespace mlops::pipeline::dvc {

/// The values by name; a class becomes a map. Nothing is run: what is no literal is passed over.
OrderedJson parse_python_params(std::string_view text);

}  // namespace mlops::pipeline::dvc
