// What a run would do, and why, before it does anything.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/plan.hpp>
#include <mlops/workspace.hpp>

#include "engine/cache.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

struct Foreseen {
  enum class What {
    runs,
    cached,    ///< its results are there
    may_run,   ///< decided when what it waits for has ended
    left_out,  ///< not selected, or skipped by a condition that is decided already
  };
  int step = 0;
  What what = What::runs;
  std::vector<Cause> causes;
};
const char* to_string(Foreseen::What what);

/// One entry a step, in the order of the plan. Changes nothing but what the index remembers of files. Without
/// a workspace nothing has run before.
std::vector<Foreseen> foresee(const Pipeline& pipeline, const Graph& graph, const Plan& plan,
                              const std::optional<Workspace>& workspace, const CacheSettings& settings);

}  // namespace mlops::engine
