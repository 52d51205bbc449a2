// From a dvc.yaml to a pipeline: its stages, and those of other dvc.yaml files of the project that make what
// they need.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>

namespace mlops::pipeline::dvc {

/// True for the name of a file that is read as DVC reads it.
bool is_dvc_file(const std::string& path);

/// As parse_pipeline(). Throws BadFile with every problem of every file.
Pipeline load(std::string text, const std::string& path, const LoadOptions& options);

}  // namespace mlops::pipeline::dvc
