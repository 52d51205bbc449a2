// Door to src/engine: which steps a run would execute, in what order, and why the others would not.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <vector>

namespace mlops {

/// What the user asked for; names are of steps, or of the base of expanded steps.
struct Selection {
  std::vector<std::string> only;   ///< just these
  std::vector<std::string> from;   ///< these and what comes after them
  std::vector<std::string> until;  ///< these and what they need
  std::vector<std::string> skip;   ///< not these
  bool empty() const { return only.empty() && from.empty() && until.empty() && skip.empty(); }
};

struct PlannedStep {
  int step = 0;  ///< index into Pipeline::steps
  bool selected = true;
  std::string reason;  ///< why it is left out
};

struct Plan {
  std::vector<PlannedStep> steps;  ///< in an order in which they could run one by one
};

/// Throws Error(usage) with a "did you mean" for unknown names.
Plan make_plan(const Pipeline& pipeline, const Graph& graph, const Selection& selection);

/// Throws Error(usage), naming `option`, unless all of `names` are steps, or bases of expanded ones.
void require_steps(const Pipeline& pipeline, const std::vector<std::string>& names, const char* option);

}  // namespace mlops
