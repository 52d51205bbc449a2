// Which steps wait for which, and why.
#pragma once

#include <mlops/pipeline.hpp>

#include "pipeline/paths.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::pipeline {

struct Edge {
  enum class Via { needs, data, output, condition, always };
  int from = 0;  ///< ends first
  int to = 0;
  Via via = Via::needs;
  std::string what;  ///< the path for data, the key for output
};

constexpr std::size_t kMostEdges = 2'000'000;

/// Every reason for which a step waits for another, in the order of the waiting steps; two steps may have
/// several. Nullopt if there are more than kMostEdges.
std::optional<std::vector<Edge>> find_edges(const Pipeline& pipeline, const Products& products);

/// How an edge came about: "needs", "data/raw.csv", "${steps.a.outputs.k}", "when", "always".
std::string reason(const Edge& edge, const Pipeline& pipeline);

/// Steps that wait for each other, in the order of the flow: each for the one before it, the first for the
/// last. At most `most` such cycles, none of which share a step.
std::vector<std::vector<int>> find_cycles(int steps, const std::vector<Edge>& edges, std::size_t most);

/// The level of each step: 0 if it waits for nothing, else one more than the highest it waits for.
std::vector<int> levels(const Graph& graph);

}  // namespace mlops::pipeline
