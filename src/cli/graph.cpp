#include <mlops/pipeline.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "pipeline/render.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {
struct GraphOptions {
  std::string file;
  std::vector<std::string> overrides;
  bool dot = false;
  bool mermaid = false;
  bool json = false;
};

void graph(const GraphOptions& options) {
  // Inputs that are not there yet do not change the graph.
  const Pipeline pipeline =
      load_pipeline(options.file, {.overrides = options.overrides, .check_files = false});
  const Graph graph = make_graph(pipeline);
  if (options.json) return print_json(pipeline::graph_json(pipeline, graph));
  const std::string text = options.dot       ? pipeline::render_dot(pipeline, graph)
                           : options.mermaid ? pipeline::render_mermaid(pipeline, graph)
                                             : pipeline::render_tree(pipeline, graph);
  std::fputs(text.c_str(), stdout);
}

}  // namespace

void set_up_graph(CLI::App& app, Context&) {
  auto options = std::make_shared<GraphOptions>();
  app.add_option("FILE", options->file, "pipeline file")->required();
  add_set_option(app, options->overrides);
  auto* dot = app.add_flag("--dot", options->dot, "for Graphviz");
  auto* mermaid = app.add_flag("--mermaid", options->mermaid, "for Markdown");
  auto* json = app.add_flag("--json", options->json, "print JSON");
  dot->excludes(mermaid)->excludes(json);
  mermaid->excludes(json);
  app.footer(
      "Examples:\n  mlops graph pipeline.yaml\n  mlops graph pipeline.yaml --dot | dot -Tsvg > graph.svg");
  app.callback([options] { graph(*options); });
}

}  // namespace mlops::cli
