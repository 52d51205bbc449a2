// Lines of .gitignore files beside outputs that DVC keeps, as DVC writes them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mlops::dvc {

class GitIgnore {
 public:
  /// Adds "/NAME" to the .gitignore in the directory of `path` (absolute), unless git ignores it already or
  /// the project is in no git work tree. What one object adds comes in the order of `rank`, then of the
  /// calls.
  void add(const std::string& path, int rank);

 private:
  using Lines = std::vector<std::pair<int, std::string>>;  // by rank
  std::map<std::string, Lines> added_;                     // by file
};

}  // namespace mlops::dvc
