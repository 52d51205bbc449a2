#include "pipeline/render.hpp"

#include "pipeline/loading.hpp"

#include <algorithm>

using namespace mlops;

namespace {
const char* const kChurn = R"(name: churn
steps:
  ingest: {kind: ingest, run: x, outputs: [raw.csv]}
  fit: {kind: train, run: 'x ${steps.ingest.outputs.rows}', foreach: [rf, gb], inputs: [raw.csv], outputs: ['${item}.bin']}
  gate: {run: x, needs: fit, when: steps.ingest.state == 'succeeded'}
  clean: {run: x, always: true}
)";
}  // namespace

TEST_CASE("the tree shows every step once, and all that it waits for") {
  const Pipeline p = load(kChurn);
  REQUIRE(
      pipeline::render_tree(p, make_graph(p)) ==
      "churn: 5 steps, 4 in the longest chain\n"
      "  ingest          ingest\n"
      "  ├─ fit@rf       train   ← ingest (raw.csv, outputs.rows)\n"
      "  │  └─ gate              ← ingest (when), fit@rf, fit@gb  [when steps.ingest.state == 'succeeded']\n"
      "  │     └─ clean          ← gate  [always]\n"
      "  └─ fit@gb       train   ← ingest (raw.csv, outputs.rows)\n");
  const Pipeline one = load("steps: {a: {run: x}}");
  REQUIRE(pipeline::render_tree(one, make_graph(one)) == "churn: 1 step\n  a\n");
}

TEST_CASE("a long chain does not run out of the screen") {
  std::string text = "steps:\n  s0: {run: x}\n";
  for (int i = 1; i < 3000; ++i)
    text += "  s" + std::to_string(i) + ": {run: x, needs: s" + std::to_string(i - 1) + "}\n";
  const Pipeline p = load(text);
  const std::string tree = pipeline::render_tree(p, make_graph(p));
  REQUIRE(tree.size() < 400'000);
  REQUIRE(tree.find("… s2999 ") != tree.npos);
  REQUIRE(std::ranges::count(tree, '\n') == 3001);
}

TEST_CASE("many edges into one step are cut short in the tree") {
  std::string text =
      "steps:\n  a: {run: x, foreach: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}\n  b: {run: x, needs: a}\n";
  const Pipeline p = load(text);
  REQUIRE_THAT(pipeline::render_tree(p, make_graph(p)), ContainsSubstring("a@7, and 2 more\n"));
}

TEST_CASE("Graphviz gets every step and edge once") {
  const Pipeline p = load(kChurn);
  REQUIRE(pipeline::render_dot(p, make_graph(p)) ==
          "digraph \"churn\" {\n  rankdir=LR;\n  node [shape=box];\n"
          "  \"ingest\" [label=\"ingest\\ningest\"];\n"
          "  \"fit@rf\" [label=\"fit@rf\\ntrain\"];\n"
          "  \"fit@gb\" [label=\"fit@gb\\ntrain\"];\n"
          "  \"gate\";\n  \"clean\";\n"
          "  \"ingest\" -> \"fit@rf\" [label=\"raw.csv, outputs.rows\"];\n"
          "  \"ingest\" -> \"fit@gb\" [label=\"raw.csv, outputs.rows\"];\n"
          "  \"ingest\" -> \"gate\" [label=\"when\"];\n"
          "  \"fit@rf\" -> \"gate\";\n  \"fit@gb\" -> \"gate\";\n"
          "  \"gate\" -> \"clean\";\n}\n");
}

TEST_CASE("Mermaid gets numbered nodes with their names as labels") {
  const Pipeline p = load(kChurn);
  REQUIRE(pipeline::render_mermaid(p, make_graph(p)) ==
          "flowchart LR\n"
          "  s0[\"ingest<br/>ingest\"]\n  s1[\"fit@rf<br/>train\"]\n  s2[\"fit@gb<br/>train\"]\n  "
          "s3[\"gate\"]\n  s4[\"clean\"]\n"
          "  s0 -->|\"raw.csv, outputs.rows\"| s1\n  s0 -->|\"raw.csv, outputs.rows\"| s2\n"
          "  s0 -->|\"when\"| s3\n  s1 --> s3\n  s2 --> s3\n  s3 --> s4\n");
}

TEST_CASE("what has a meaning of its own in Graphviz or Mermaid is escaped") {
  const Pipeline p = load(
      "steps:\n  end: {run: x, outputs: ['a\"b\\c', '<b>#1|`x`&', \"two\\nlines\"]}\n  b: {run: x, inputs: "
      "['a\"b\\c', '<b>#1|`x`&', \"two\\nlines\"]}\n");
  REQUIRE_THAT(pipeline::render_dot(p, make_graph(p)),
               ContainsSubstring(R"([label="<b>#1|`x`&, a\"b\\c, two lines"])") ||
                   ContainsSubstring(R"([label="a\"b\\c, <b>#1|`x`&, two lines"])"));
  const std::string mermaid = pipeline::render_mermaid(p, make_graph(p));
  REQUIRE_THAT(mermaid, ContainsSubstring("a#quot;b#92;c") &&
                            ContainsSubstring("#lt;b#gt;#35;1|#96;x#96;#amp;") &&
                            ContainsSubstring("two lines"));
  REQUIRE(std::count(mermaid.begin(), mermaid.end(), '\n') == 4);
  REQUIRE_THAT(mermaid, ContainsSubstring("s0[\"end\"]"));
}

TEST_CASE("as JSON the graph has every reason of its own") {
  const Pipeline p = load(kChurn);
  const Json g = pipeline::graph_json(p, make_graph(p));
  REQUIRE(g.at("pipeline") == "churn");
  REQUIRE(g.at("steps").size() == 5);
  REQUIRE(
      g.at("steps")[3] ==
      Json::parse(
          R"({"name":"gate","base":"gate","kind":"","description":"","level":2,"needs":["ingest","fit@rf","fit@gb"],"outputs":[]})"));
  REQUIRE(g.at("edges").size() == 8);
  REQUIRE(g.at("edges")[0] ==
          Json::parse(R"({"from":"ingest","to":"fit@rf","via":"data","what":"raw.csv"})"));
  REQUIRE(g.at("edges")[1] == Json::parse(R"({"from":"ingest","to":"fit@rf","via":"output","what":"rows"})"));
}
