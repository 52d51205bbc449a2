// Reading dvc.lock and .dvc files.
#pragma once

#include <mlops/error.hpp>

#include "pipeline/dvc/value.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline::dvc {

struct LockFile {
  OrderedJson stages = OrderedJson::object();  ///< by name, in the order of the file
  OrderedJson rest = OrderedJson::object();    ///< what else stands at the top, `schema` included
};

/// A dvc.lock of any version. What is wrong is added to `problems`, and what a merge left in it is told as
/// that.
LockFile read_lock(std::string_view text, const std::string& shown, std::vector<Diagnostic>& problems);

/// The data that a .dvc file tracks.
std::vector<DvcTracked> read_tracked(std::string_view text, const std::string& path, const std::string& shown,
                                     std::vector<Diagnostic>& problems);

}  // namespace mlops::pipeline::dvc
