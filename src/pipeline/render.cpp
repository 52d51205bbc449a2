#include "pipeline/render.hpp"

#include "pipeline/graph.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <unordered_set>

namespace mlops::pipeline {

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Edges by waiting step, the reasons of one pair together.
struct Way {
  int from;
  std::vector<const Edge*> edges;
};

class Ways {
 public:
  explicit Ways(const Pipeline& pipeline)
      : edges_(find_edges(pipeline, Products(pipeline)).value_or(std::vector<Edge>())) {
    into_.resize(pipeline.steps.size());
    std::ranges::stable_sort(edges_, {}, [](const Edge& e) { return std::pair(e.to, e.from); });
    for (const Edge& edge : edges_) {
      auto& ways = into_[at(edge.to)];
      if (ways.empty() || ways.back().from != edge.from) ways.push_back({edge.from, {}});
      auto& same = ways.back().edges;
      const bool known = std::ranges::any_of(
          same, [&](const Edge* e) { return e->via == edge.via && e->what == edge.what; });
      if (!known && same.size() < 50) same.push_back(&edge);
    }
  }
  const std::vector<Way>& into(int step) const { return into_[at(step)]; }

 private:
  std::vector<Edge> edges_;
  std::vector<std::vector<Way>> into_;
};

// "data/raw.csv, when"; without "needs", which says nothing beside the arrow.
std::string label(const Way& way) {
  std::vector<std::string> words;
  for (const Edge* edge : way.edges) {
    switch (edge->via) {
      case Edge::Via::needs:
      case Edge::Via::always: break;
      case Edge::Via::data: words.push_back(edge->what); break;
      case Edge::Via::output: words.push_back("outputs." + edge->what); break;
      case Edge::Via::condition: words.push_back("when"); break;
    }
    if (words.size() == 4 && way.edges.size() > 5) {
      words.push_back("…");
      break;
    }
  }
  return util::join(words, ", ");
}

const char* via_name(Edge::Via via) {
  switch (via) {
    case Edge::Via::needs: return "needs";
    case Edge::Via::data: return "data";
    case Edge::Via::output: return "output";
    case Edge::Via::condition: return "when";
    case Edge::Via::always: return "always";
  }
  return "";
}

std::string padded(const std::string& text, int width) {
  return text + std::string(static_cast<std::size_t>(std::max(0, width - util::display_width(text))), ' ');
}

// "← ingest (data/raw.csv), split", at most eight of them.
std::string waits_for(const Pipeline& pipeline, const std::vector<Way>& ways) {
  constexpr std::size_t most = 8;
  std::vector<std::string> words;
  for (const Way& way : ways) {
    if (words.size() == most && ways.size() > most + 1) {
      words.push_back("and " + std::to_string(ways.size() - most) + " more");
      break;
    }
    const std::string why = label(way);
    words.push_back(pipeline.steps[at(way.from)].name + (why.empty() ? "" : " (" + why + ")"));
  }
  return util::join(words, ", ");
}

struct TreeRow {
  int step;
  std::string lines;  // the branches before its name
};

// Every step once, under the one of those it waits for that comes last; what it waits for besides is told in
// its row.
std::vector<TreeRow> tree_rows(const Graph& graph) {
  constexpr int deepest = 16;  // what lies deeper is not indented further
  const std::vector<int> level = levels(graph);
  std::vector<std::vector<int>> below(graph.needs.size());
  struct Visit {
    int step;
    int depth;
    std::string lines, lines_below;
  };
  std::vector<Visit> open;
  for (const int step : graph.order) {
    const std::vector<int>& needs = graph.needs[at(step)];
    if (needs.empty()) {
      open.push_back({step, 0, {}, {}});
    } else {
      below[at(*std::ranges::max_element(needs, {}, [&](int need) { return level[at(need)]; }))].push_back(
          step);
    }
  }
  std::ranges::reverse(open);
  std::vector<TreeRow> rows;
  while (!open.empty()) {
    const Visit visit = std::move(open.back());
    open.pop_back();
    rows.push_back({visit.step, visit.lines});
    const std::vector<int>& next = below[at(visit.step)];
    for (std::size_t i = next.size(); i-- > 0;) {
      const bool last = i + 1 == next.size();
      if (visit.depth == deepest) {
        open.push_back({next[i], deepest, visit.lines_below + "… ", visit.lines_below});
      } else {
        open.push_back({next[i], visit.depth + 1, visit.lines_below + (last ? "└─ " : "├─ "),
                        visit.lines_below + (last ? "   " : "│  ")});
      }
    }
  }
  return rows;
}

std::string replaced(std::string_view text, std::initializer_list<std::pair<char, std::string_view>> table) {
  std::string result;
  for (const char c : text) {
    const auto found = std::ranges::find(table, c, [](const auto& entry) { return entry.first; });
    if (found == table.end()) {
      result += c;
    } else {
      result += found->second;
    }
  }
  return result;
}

}  // namespace

std::string dot_quoted(std::string_view text) {
  return "\"" + replaced(text, {{'"', "\\\""}, {'\\', "\\\\"}, {'\n', " "}}) + "\"";
}

// Mermaid reads HTML-like entities written with '#' and would take these characters for its own syntax.
std::string mermaid_quoted(std::string_view text) {
  return "\"" +
         replaced(text, {{'"', "#quot;"},
                         {'#', "#35;"},
                         {'<', "#lt;"},
                         {'>', "#gt;"},
                         {'&', "#amp;"},
                         {'`', "#96;"},
                         {'\\', "#92;"},
                         {'\n', " "}}) +
         "\"";
}

std::string render_tree(const Pipeline& pipeline, const Graph& graph) {
  const Ways ways(pipeline);
  const std::vector<TreeRow> rows = tree_rows(graph);
  int name_width = 0;
  int kind_width = 0;
  for (const TreeRow& row : rows) {
    const Step& step = pipeline.steps[at(row.step)];
    name_width = std::max(name_width, std::min(48, util::display_width(row.lines + step.name)));
    kind_width = std::max(kind_width, util::display_width(step.kind));
  }
  const std::vector<int> level = levels(graph);
  const int longest = level.empty() ? 0 : *std::ranges::max_element(level) + 1;
  std::string text =
      pipeline.name + ": " + std::to_string(rows.size()) + (rows.size() == 1 ? " step" : " steps");
  if (longest > 1) text += ", " + std::to_string(longest) + " in the longest chain";
  text += "\n";
  for (const TreeRow& row : rows) {
    const Step& step = pipeline.steps[at(row.step)];
    std::string line = "  " + padded(row.lines + step.name, name_width);
    if (kind_width > 0) line += "  " + padded(step.kind, kind_width);
    if (!ways.into(row.step).empty()) line += "  ← " + waits_for(pipeline, ways.into(row.step));
    if (step.always) line += "  [always]";
    if (!step.when.empty()) line += "  [when " + replaced(step.when, {{'\n', " "}}) + "]";
    text += util::escape_controls(util::to_utf8(line.substr(0, line.find_last_not_of(' ') + 1))) + "\n";
  }
  return text;
}

std::string render_dot(const Pipeline& pipeline, const Graph&) {
  const Ways ways(pipeline);
  std::string text = "digraph " + dot_quoted(pipeline.name) + " {\n  rankdir=LR;\n  node [shape=box];\n";
  for (const Step& step : pipeline.steps) {
    text += "  " + dot_quoted(step.name);
    // "\n" here is Graphviz's own line break, hence put in after quoting.
    if (!step.kind.empty()) {
      std::string both = dot_quoted(step.name);
      both.pop_back();
      text += " [label=" + both + "\\n" + dot_quoted(step.kind).substr(1) + "]";
    }
    text += ";\n";
  }
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    for (const Way& way : ways.into(static_cast<int>(i))) {
      text +=
          "  " + dot_quoted(pipeline.steps[at(way.from)].name) + " -> " + dot_quoted(pipeline.steps[i].name);
      if (const std::string why = label(way); !why.empty()) text += " [label=" + dot_quoted(why) + "]";
      text += ";\n";
    }
  }
  return text + "}\n";
}

std::string render_mermaid(const Pipeline& pipeline, const Graph&) {
  const Ways ways(pipeline);
  std::string text = "flowchart LR\n";
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const Step& step = pipeline.steps[i];
    std::string shown = mermaid_quoted(step.name);
    if (!step.kind.empty()) {
      shown.pop_back();
      shown += "<br/>" + mermaid_quoted(step.kind).substr(1);
    }
    text += "  s" + std::to_string(i) + "[" + shown + "]\n";
  }
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    for (const Way& way : ways.into(static_cast<int>(i))) {
      const std::string why = label(way);
      text += "  s" + std::to_string(way.from) + " -->" +
              (why.empty() ? "" : "|" + mermaid_quoted(why) + "|") + " s" + std::to_string(i) + "\n";
    }
  }
  return text;
}

Json graph_json(const Pipeline& pipeline, const Graph& graph) {
  const Ways ways(pipeline);
  const std::vector<int> level = levels(graph);
  Json steps = Json::array();
  Json edges = Json::array();
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    const Step& step = pipeline.steps[i];
    Json needs = Json::array();
    for (const int from : graph.needs[i]) needs.push_back(pipeline.steps[at(from)].name);
    Json outputs = Json::array();
    for (const Output& output : step.outputs)
      outputs.push_back({{"path", output.path}, {"kind", output.kind}});
    steps.push_back({{"name", step.name},
                     {"base", step.base},
                     {"kind", step.kind},
                     {"description", step.description},
                     {"level", level[i]},
                     {"needs", std::move(needs)},
                     {"outputs", std::move(outputs)}});
    for (const Way& way : ways.into(static_cast<int>(i))) {
      for (const Edge* edge : way.edges) {
        edges.push_back({{"from", pipeline.steps[at(way.from)].name},
                         {"to", step.name},
                         {"via", via_name(edge->via)},
                         {"what", edge->what}});
      }
    }
  }
  return {{"pipeline", pipeline.name}, {"steps", std::move(steps)}, {"edges", std::move(edges)}};
}

}  // namespace mlops::pipeline
