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

struct ReadFile {
  std::vector<ReadStage> stages;
  std::vector<std::string> metrics;  ///< of the top of the file, absolute
  std::vector<std::string> plots;    ///< likewise, as written
};

/// Reads the file's text. Problems are added to `problems`; what can be read is returned all the same.
ReadFile read_stages(const StageFile& file, const std::string& text, const std::string& root,
                     const UnpackStyle& style, Sources& sources, Problems& problems, const Refer& refer = {});

/// A dvc.yaml of the project whose pipeline lies in `directory`; `main` is the file of the pipeline itself.
StageFile stage_file(const std::string& path, std::string shown, const std::string& directory, bool main);

}  // namespace mlops::pipeline::dvc
