// A DVC project as a pipeline file of mlops' own.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <vector>

namespace mlops::dvc {

struct Converted {
  std::string text;                ///< of the file
  std::vector<std::string> notes;  ///< what has no equivalent, also written into the file as comments
};

/// The steps of `pipeline` (which has `dvc`) for a file in `directory` (absolute).
Converted to_own_file(const Pipeline& pipeline, const std::string& directory);

}  // namespace mlops::dvc
