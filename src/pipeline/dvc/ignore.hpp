// What the .dvcignore files of a project leave out.
#pragma once

#include "util/ignore_rules.hpp"

#include <string>

namespace mlops::pipeline::dvc {

/// The rules for what lies at and below `path`, which with `root` is absolute: those of DVC itself and of the
/// .dvcignore files above it. Paths are matched relative to `root`.
util::IgnoreRules ignore_rules(const std::string& root, const std::string& path);

}  // namespace mlops::pipeline::dvc
