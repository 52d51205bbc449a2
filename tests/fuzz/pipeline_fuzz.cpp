// A pipeline file: any text either loads, and then has a graph, a plan and pictures, or is a BadFile.
#include <mlops/pipeline.hpp>
#include <mlops/plan.hpp>

#include "pipeline/render.hpp"
#include "util/strings.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mlops::Pipeline pipeline;
  try {
    pipeline = mlops::parse_pipeline(std::string(reinterpret_cast<const char*>(data), size), "/p/p.yaml",
                                     {{}, false});
  } catch (const mlops::BadFile& e) {
    if (e.problems().empty()) std::abort();
    for (const mlops::Diagnostic& d : e.problems()) {
      if (d.message.empty() || !mlops::util::is_utf8(d.message) || !mlops::util::is_utf8(d.hint))
        std::abort();
    }
    return 0;
  }
  const mlops::Graph graph = mlops::make_graph(pipeline);
  if (pipeline.steps.empty() || graph.order.size() != pipeline.steps.size()) std::abort();
  if (mlops::make_plan(pipeline, graph, {}).steps.size() != pipeline.steps.size()) std::abort();
  const std::string& first = pipeline.steps.front().name;
  mlops::make_plan(pipeline, graph, {{}, {first}, {first}, {}});
  mlops::pipeline::render_tree(pipeline, graph);
  mlops::pipeline::render_dot(pipeline, graph);
  mlops::pipeline::render_mermaid(pipeline, graph);
  mlops::pipeline::graph_json(pipeline, graph).dump();
  return 0;
}
