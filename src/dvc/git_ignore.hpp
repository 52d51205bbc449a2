// Lines of .gitignore files beside outputs that DVC keeps, as DVC writes them.
#pragma once

#include <string>

namespace mlops::dvc {

/// Adds "/NAME" to the .gitignore in the directory of `path` (absolute), unless git ignores it already or the
/// project is in no git work tree.
void ignore_in_git(const std::string& path);

}  // namespace mlops::dvc
