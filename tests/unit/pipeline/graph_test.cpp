#include "pipeline/graph.hpp"

#include "pipeline/conditions.hpp"
#include "pipeline/loading.hpp"

#include <algorithm>
#include <random>

using namespace mlops;

namespace {

// The edges as "from>to reason", by waiting step.
std::vector<std::string> edges(const Pipeline& p) {
  std::vector<std::string> list;
  const auto found = pipeline::find_edges(p, pipeline::Products(p));
  for (const auto& e : found.value())
    list.push_back(p.steps[static_cast<std::size_t>(e.from)].name + ">" +
                   p.steps[static_cast<std::size_t>(e.to)].name + " " + pipeline::reason(e, p));
  return list;
}

std::vector<std::string> edges(const std::string& text) { return edges(load(text)); }

using List = std::vector<std::string>;

}  // namespace

TEST_CASE("edges come from needs, data, outputs and conditions") {
  REQUIRE(edges("steps: {a: {run: x}, b: {run: x, needs: a}}") == List{"a>b needs"});
  REQUIRE(edges("steps: {a: {run: x, outputs: [d/m]}, b: {run: x, inputs: [./d/../d/m]}}") ==
          List{"a>b d/m"});
  REQUIRE(edges("steps: {b: {run: x, inputs: [m]}, a: {run: x, metrics: m}}") == List{"a>b m"});
  REQUIRE(edges("steps: {a: {run: 'x', outputs: [d]}, b: {run: x, inputs: [d/part]}}") == List{"a>b d"});
  REQUIRE(edges("steps: {a: {run: x, outputs: [d/p, d/q]}, b: {run: x, inputs: [d]}}") ==
          List{"a>b d/p", "a>b d/q"});
  REQUIRE(edges("steps: {a: {run: x, outputs: [d]}, b: {run: x, workdir: d, inputs: [x]}}") == List{"a>b d"});
  REQUIRE(edges("steps: {a: {run: x, outputs: [dd, d-x]}, b: {run: x, inputs: [d]}}").empty());
  REQUIRE(
      edges("steps: {a: {run: x}, b: {run: 'x ${steps.a.outputs.k}', env: {E: '${steps.a.outputs.l}'}}}") ==
      List{"a>b ${steps.a.outputs.k}", "a>b ${steps.a.outputs.l}"});
  REQUIRE(edges("steps: {a: {run: x}, b: {run: [x, '-${steps.a.outputs.k}']}}") ==
          List{"a>b ${steps.a.outputs.k}"});
  REQUIRE(
      edges("steps: {a: {run: x}, b: {run: x, when: steps.a.metrics.acc > 1 and steps.a.state == 'lost'}}") ==
      List{"a>b when", "a>b when"});
  REQUIRE(edges("steps: {a: {run: x, outputs: [m], inputs: [m/../n]}}").empty());
}

TEST_CASE("clean-up that names nothing waits for the ends of the graph") {
  REQUIRE(edges("steps: {clean: {run: x, always: true}, a: {run: x}, b: {run: x, needs: a}, c: {run: x}}") ==
          List{"a>b needs", "b>clean always", "c>clean always"});
  REQUIRE(edges("steps: {clean: {run: x, always: true, needs: a}, a: {run: x}, b: {run: x}}") ==
          List{"a>clean needs"});
  REQUIRE(edges("steps: {one: {run: x, always: true}, two: {run: x, always: true}, a: {run: x}}") ==
          List{"a>one always", "a>two always"});
  REQUIRE(edges("steps: {only: {run: x, always: true}}").empty());
}

TEST_CASE("the order is that of the file where the graph leaves it free") {
  const Graph g = make_graph(load(
      "steps: {d: {run: x, needs: [c, a]}, b: {run: x}, a: {run: x}, c: {run: x, needs: a}, e: {run: x}}"));
  REQUIRE(g.order == std::vector<int>{1, 2, 3, 0, 4});
  REQUIRE(g.needs[0] == std::vector<int>{2, 3});
  REQUIRE(g.feeds[2] == std::vector<int>{0, 3});
  REQUIRE(pipeline::levels(g) == std::vector<int>{2, 0, 0, 1, 0});
}

TEST_CASE("however many reasons, a step waits once") {
  const Graph g =
      make_graph(load("steps: {a: {run: x, outputs: [m, n]}, b: {run: 'x ${steps.a.outputs.k}', inputs: [m, "
                      "n], needs: a, when: steps.a.exit_code == 0}}"));
  REQUIRE(g.needs[1] == std::vector<int>{0});
}

TEST_CASE("random graphs are ordered so that nothing starts before what it needs") {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    const unsigned count = 1 + random() % 60;
    std::vector<unsigned> rank(count);
    for (unsigned i = 0; i < count; ++i) rank[i] = i;
    std::shuffle(rank.begin(), rank.end(), random);
    std::string text = "steps:\n";
    for (unsigned i = 0; i < count; ++i) {
      text += "  s" + std::to_string(i) + ": {run: x, outputs: [f" + std::to_string(i) + "], inputs: [";
      for (unsigned k = random() % 4; k > 0; --k) {
        const unsigned other = random() % count;
        if (rank[other] < rank[i]) text += "f" + std::to_string(other) + ", ";
      }
      text += "]}\n";
    }
    const Pipeline p = load(text);
    const Graph g = make_graph(p);
    REQUIRE(g.order.size() == count);
    std::vector<std::size_t> place(count);
    for (std::size_t i = 0; i < count; ++i) place[static_cast<std::size_t>(g.order[i])] = i;
    for (std::size_t i = 0; i < count; ++i) {
      REQUIRE(g.needs[i].size() <= p.steps[i].inputs.size());
      for (const int need : g.needs[i]) REQUIRE(place[static_cast<std::size_t>(need)] < place[i]);
    }
  }
}

TEST_CASE("circles are found, each once, against steps that only follow them") {
  using pipeline::Edge;
  const auto cycles = [](int steps, const std::vector<std::pair<int, int>>& pairs, std::size_t most = 10) {
    std::vector<Edge> list;
    for (const auto& [from, to] : pairs) list.push_back({from, to, Edge::Via::needs, {}});
    return pipeline::find_cycles(steps, list, most);
  };
  using Cycles = std::vector<std::vector<int>>;
  REQUIRE(cycles(3, {{0, 1}, {1, 2}}).empty());
  REQUIRE(cycles(4, {{0, 1}, {1, 2}, {2, 1}, {2, 3}}) == Cycles{{1, 2}});
  REQUIRE(cycles(3, {{0, 1}, {1, 2}, {2, 0}}) == Cycles{{0, 1, 2}});
  REQUIRE(cycles(4, {{0, 1}, {1, 0}, {2, 3}, {3, 2}}).size() == 2);
  REQUIRE(cycles(4, {{0, 1}, {1, 0}, {2, 3}, {3, 2}}, 1).size() == 1);
}

TEST_CASE("a condition of a loaded pipeline is evaluated with what the run knows") {
  const Pipeline p = load(
      "params: {on: true}\nsteps:\n  a: {run: x}\n  b: {run: x, when: params.on and steps.a.outputs.n > 3 "
      "and steps.a.metrics.acc >= 0.5}\n");
  const pipeline::Conditions conditions(p);
  std::string asked;
  const auto verdict = conditions.evaluate(
      p.steps[1], [&](const std::string& step, const std::string& field, const std::string& key) -> Json {
        asked += step + "." + field + "." + key + " ";
        return field == "outputs" ? Json("5") : Json(0.4);
      });
  REQUIRE_FALSE(verdict.holds);
  REQUIRE(verdict.why == "steps.a.metrics.acc >= 0.5 is false (0.4)");
  REQUIRE(asked == "a.outputs.n a.metrics.acc ");
  REQUIRE(conditions.evaluate(p.steps[0], nullptr).holds);
}
