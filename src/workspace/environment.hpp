// Where and by whom a run was started.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace mlops::workspace {

std::string host_name();
std::string user_name();

/// Names of this process's environment variables, sorted.
std::vector<std::string> environment_names();

struct GitState {
  std::string commit;
  std::optional<bool> dirty;  ///< tracked files differ from the commit; none: unknown
};

/// Asks `git` about the work tree around `directory`; none if it is not in one or there is no git. May take
/// long in large trees.
std::optional<GitState> git_state(const std::string& directory);

}  // namespace mlops::workspace
