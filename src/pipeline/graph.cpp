#include "pipeline/graph.hpp"

#include "pipeline/conditions.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <unordered_map>

namespace mlops {

using pipeline::Edge;

namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

// Edges of all steps but those that `always:` adds.
class EdgeFinder {
 public:
  EdgeFinder(const Pipeline& pipeline, const pipeline::Products& products)
      : pipeline_(pipeline), products_(products), conditions_(pipeline) {
    for (std::size_t i = 0; i < pipeline.steps.size(); ++i)
      index_.emplace(pipeline.steps[i].name, static_cast<int>(i));
  }

  bool find(int to, std::vector<Edge>& edges) {
    const Step& step = pipeline_.steps[at(to)];
    const auto add = [&](int from, Edge::Via via, std::string what) {
      if (from != to) edges.push_back({from, to, via, std::move(what)});
    };
    const auto add_named = [&](const std::string& name, Edge::Via via, std::string what) {
      if (const auto found = index_.find(name); found != index_.end())
        add(found->second, via, std::move(what));
    };
    for (const std::string& need : step.needs) add_named(need, Edge::Via::needs, {});
    for (const std::string& input : step.inputs) {
      const std::string path = pipeline::normal_path(pipeline_.directory, step.workdir, input);
      for (const auto* product : products_.touching(path)) add(product->step, Edge::Via::data, product->path);
      if (edges.size() > pipeline::kMostEdges) return false;
    }
    const auto scan = [&](const Text& text) {
      for (const Text::Part& part : text.parts) {
        if (!part.step.empty()) add_named(part.step, Edge::Via::output, part.key);
      }
    };
    for (const Text& text : step.command.argv) scan(text);
    for (const auto& [name, text] : step.env) scan(text);
    if (!step.when.empty()) {
      for (const params::ConditionName& name : condition_names(step))
        add_named(name.step, Edge::Via::condition, {});
    }
    return edges.size() <= pipeline::kMostEdges;
  }

 private:
  // A condition that does not parse was reported when the file was read.
  std::vector<params::ConditionName> condition_names(const Step& step) const {
    try {
      return conditions_.parse(step).names();
    } catch (const Error&) {
      return {};
    }
  }

  const Pipeline& pipeline_;
  const pipeline::Products& products_;
  pipeline::Conditions conditions_;
  std::unordered_map<std::string_view, int> index_;
};

Graph graph_of(int steps, const std::vector<Edge>& edges) {
  Graph graph;
  graph.needs.resize(at(steps));
  graph.feeds.resize(at(steps));
  for (const Edge& edge : edges) graph.needs[at(edge.to)].push_back(edge.from);
  for (int i = 0; i < steps; ++i) {
    auto& needs = graph.needs[at(i)];
    std::ranges::sort(needs);
    needs.erase(std::unique(needs.begin(), needs.end()), needs.end());
    needs.shrink_to_fit();
    for (const int from : needs) graph.feeds[at(from)].push_back(i);
  }
  std::vector<int> waiting(at(steps));
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (int i = 0; i < steps; ++i) {
    waiting[at(i)] = static_cast<int>(graph.needs[at(i)].size());
    if (waiting[at(i)] == 0) ready.push(i);
  }
  while (!ready.empty()) {
    const int step = ready.top();
    ready.pop();
    graph.order.push_back(step);
    for (const int next : graph.feeds[at(step)]) {
      if (--waiting[at(next)] == 0) ready.push(next);
    }
  }
  return graph;
}

}  // namespace

namespace pipeline {

std::optional<std::vector<Edge>> find_edges(const Pipeline& pipeline, const Products& products) {
  std::vector<Edge> edges;
  EdgeFinder finder(pipeline, products);
  const int steps = static_cast<int>(pipeline.steps.size());
  std::vector<bool> feeds(at(steps));  // something that is not clean-up waits for it
  std::vector<int> clean_up;
  for (int i = 0; i < steps; ++i) {
    const std::size_t before = edges.size();
    if (!finder.find(i, edges)) return std::nullopt;
    if (pipeline.steps[at(i)].always && edges.size() == before) clean_up.push_back(i);
    if (pipeline.steps[at(i)].always) continue;
    for (std::size_t e = before; e < edges.size(); ++e) feeds[at(edges[e].from)] = true;
  }
  // Clean-up that names nothing to wait for waits for everything: enough are the ends of the graph.
  for (const int step : clean_up) {
    for (int i = 0; i < steps; ++i) {
      if (!pipeline.steps[at(i)].always && !feeds[at(i)]) edges.push_back({i, step, Edge::Via::always, {}});
    }
    if (edges.size() > kMostEdges) return std::nullopt;
  }
  return edges;
}

std::string reason(const Edge& edge, const Pipeline& pipeline) {
  switch (edge.via) {
    case Edge::Via::needs: return "needs";
    case Edge::Via::data: return edge.what;
    case Edge::Via::output:
      return "${steps." + pipeline.steps[at(edge.from)].name + ".outputs." + edge.what + "}";
    case Edge::Via::condition: return "when";
    case Edge::Via::always: return "always";
  }
  return {};
}

std::vector<std::vector<int>> find_cycles(int steps, const std::vector<Edge>& edges, std::size_t most) {
  const Graph graph = graph_of(steps, edges);
  std::vector<std::vector<int>> cycles;
  if (graph.order.size() == at(steps)) return cycles;
  enum class Mark : char { unseen, open, done };
  std::vector<Mark> marks(at(steps), Mark::unseen);
  std::vector<bool> reported(at(steps));
  for (const int step : graph.order) marks[at(step)] = Mark::done;  // they lie on no cycle
  struct Visit {
    int step;
    std::size_t next;
  };
  std::vector<Visit> path;
  for (int start = 0; start < steps && cycles.size() < most; ++start) {
    if (marks[at(start)] != Mark::unseen) continue;
    path.push_back({start, 0});
    marks[at(start)] = Mark::open;
    while (!path.empty()) {
      Visit& visit = path.back();
      const auto& needs = graph.needs[at(visit.step)];
      if (visit.next == needs.size()) {
        marks[at(visit.step)] = Mark::done;
        path.pop_back();
        continue;
      }
      const int need = needs[visit.next++];
      if (marks[at(need)] == Mark::unseen) {
        marks[at(need)] = Mark::open;
        path.push_back({need, 0});
      } else if (marks[at(need)] == Mark::open && cycles.size() < most) {
        std::vector<int> cycle;
        bool fresh = true;
        for (std::size_t i = path.size(); i-- > 0;) {
          cycle.push_back(path[i].step);
          fresh = fresh && !reported[at(path[i].step)];
          if (path[i].step == need) break;
        }
        if (!fresh) continue;
        // `path` runs against the flow, and was read from its end: with the flow, `need` comes last.
        std::rotate(cycle.begin(), std::ranges::min_element(cycle), cycle.end());
        for (const int step : cycle) reported[at(step)] = true;
        cycles.push_back(std::move(cycle));
      }
    }
  }
  return cycles;
}

std::vector<int> levels(const Graph& graph) {
  std::vector<int> result(graph.needs.size());
  for (const int step : graph.order) {
    for (const int from : graph.needs[at(step)])
      result[at(step)] = std::max(result[at(step)], result[at(from)] + 1);
  }
  return result;
}

}  // namespace pipeline

Graph make_graph(const Pipeline& pipeline) {
  const auto edges = pipeline::find_edges(pipeline, pipeline::Products(pipeline));
  if (!edges) throw Error(ExitCode::usage, "the steps wait for each other in more than 2,000,000 ways");
  return graph_of(static_cast<int>(pipeline.steps.size()), *edges);
}

}  // namespace mlops
