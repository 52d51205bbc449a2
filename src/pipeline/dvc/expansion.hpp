// What one entry of `stages` with foreach or matrix stands for: a stage per value, and its name.
#pragma once

#include "pipeline/dvc/value.hpp"

#include <string>
#include <vector>

namespace mlops::pipeline::dvc {

struct Expansion {
  std::string key;   ///< the end of the stage's name, after '@'
  OrderedJson item;  ///< what `item` stands for
};

/// One for each of a list or map. `written` is the node that became `values`. Of values with one name the
/// last counts, in the place of the first.
std::vector<Expansion> expand_foreach(const OrderedJson& values, const util::YamlNode& written);

/// One for each combination of the lists in a map, the last list's values fastest; likewise.
std::vector<Expansion> expand_matrix(const OrderedJson& axes, const util::YamlNode& written);

}  // namespace mlops::pipeline::dvc
