// A pipeline's graph for people and other programs: every step once, however many ways lead to it.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <string_view>

namespace mlops::pipeline {

/// Steps in the order in which they may run, each with its level, kind, and what it waits for.
std::string render_tree(const Pipeline& pipeline, const Graph& graph);

/// For Graphviz.
std::string render_dot(const Pipeline& pipeline, const Graph& graph);

/// For Markdown on GitHub, GitLab and others.
std::string render_mermaid(const Pipeline& pipeline, const Graph& graph);

/// {"pipeline": …, "steps": [{name, base, kind, description, level, needs, outputs}], "edges": [{from, to,
/// via, what}]}.
Json graph_json(const Pipeline& pipeline, const Graph& graph);

/// A text in quotes for Graphviz, and for Mermaid.
std::string dot_quoted(std::string_view text);
std::string mermaid_quoted(std::string_view text);

}  // namespace mlops::pipeline
