// A pipeline's graph for people and other programs: every step once, however many ways lead to it.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>
#include <string_view>

namespace mlops::pipeline {

/// A tree with every step once, under the one of those it waits for that comes last; its kind and all it waits for
/// stand beside it.
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
