// A random pipeline and the machine that it is to run on.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/plan.hpp>

#include "engine/resources.hpp"
#include "random.hpp"

#include <vector>

namespace simulation {

struct Plot {
  mlops::Pipeline pipeline;
  mlops::Graph graph;
  mlops::Plan plan;
  std::vector<char> selected, checks, makes_results;  // by step
  mlops::engine::Capacity capacity;
  bool keep_going = false;
  int steps() const { return static_cast<int>(pipeline.steps.size()); }
  const mlops::Step& step(int i) const { return pipeline.steps[static_cast<std::size_t>(i)]; }
  const std::vector<int>& needs(int i) const { return graph.needs[static_cast<std::size_t>(i)]; }
};

Plot random_plot(Random& random);

/// The graph's other edges and its order, from its `needs`.
void complete(mlops::Graph& graph);

}  // namespace simulation
