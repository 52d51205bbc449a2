// What `mlops doctor` looks at.
#pragma once

#include <mlops/workspace.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

struct Finding {
  enum class State { good, note, problem, broken };  ///< broken: the database cannot be used
  std::string what;
  State state = State::good;
  std::string words;
  std::string advice;  ///< what to do; empty when good
};
const char* to_string(Finding::State state);

/// Examines the machine and, if there is one, the workspace. Changes nothing but what every command does:
/// runs of dead runners are brought up to date.
std::vector<Finding> examine(const std::optional<Workspace>& workspace);

}  // namespace mlops::engine
