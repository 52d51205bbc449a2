// The stages of one dvc.yaml, with everything filled in and expanded.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/dvc/resolver.hpp"
#include "pipeline/problems.hpp"

#include <string>
#include <vector>

namespace mlops::pipeline::dvc {

/// A stage and the step that it becomes, with the places that checks over all of them report at.
struct ReadStage {
  Step step;
  DvcStage stage;
  std::string file;               ///< as messages show it
  std::vector<Location> inputs;   ///< of step.inputs
  std::vector<Location> outputs;  ///< of step.outputs
};

/// Reads the file's text. Problems are added to `problems`; what can be read is returned all the same.
std::vector<ReadStage> read_stages(const StageFile& file, const std::string& text, const std::string& root,
                                   const UnpackStyle& style, Sources& sources, Problems& problems);

}  // namespace mlops::pipeline::dvc
