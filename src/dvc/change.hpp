#pragma once

#include <string>

namespace mlops::dvc {

/// Something that is not as dvc.lock has it.
struct Change {
  enum class Kind { command, input, param, output, missing, first_run, always };
  Kind kind;
  std::string what, before, after;
};

}  // namespace mlops::dvc
