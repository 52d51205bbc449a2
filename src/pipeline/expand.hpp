// `foreach:` and `matrix:`: one entry of `steps:` that stands for many steps.
#pragma once

#include "pipeline/fields.hpp"

#include <string>
#include <vector>

namespace mlops::pipeline {

constexpr std::size_t kMostSteps = 100'000;  ///< of a pipeline, expansions counted

/// One step that an entry stands for.
struct Variant {
  std::string name;  ///< "base@suffix", or the base itself
  Json vars;         ///< {"item":…, "key":…} or {"matrix":{…}}; null if the entry is not expanded
  bool open =
      false;  ///< stands for an expansion that could not be read, so that the rest of it is still checked
};

/// The steps that the entry `step` stands for: one if it has neither key, an open one after a
/// problem.
std::vector<Variant> expand(const util::YamlEntry& step, const Fields& fields);

}  // namespace mlops::pipeline
