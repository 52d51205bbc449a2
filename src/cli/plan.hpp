// The plan of a run in text and JSON: what `mlops plan` and `mlops run --dry-run` print.
#pragma once

#include "cli/output.hpp"
#include "engine/foresight.hpp"

namespace mlops::cli {

nlohmann::json plan_json(const Pipeline& pipeline, const Graph& graph,
                         const std::vector<engine::Foreseen>& plan);

/// With `commands`, also what each step would run.
void print_plan(const Pipeline& pipeline, const Graph& graph, const std::vector<engine::Foreseen>& plan,
                bool commands);

}  // namespace mlops::cli
