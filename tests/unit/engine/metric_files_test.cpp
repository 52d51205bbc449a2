#include "engine/metric_files.hpp"

#include "catch.hpp"

using namespace mlops::engine;

TEST_CASE("metrics are read from JSON, YAML and CSV") {
  auto json = parse_metrics_file(
      "m.json", R"({"acc": 0.9, "per": {"a": 1, "label": "x"}, "list": [1, 2], "ok": true})");
  REQUIRE(json.problems.empty());
  REQUIRE(json.points.size() == 5);
  auto yaml = parse_metrics_file("m.yaml", "acc: 0.5\nnested:\n  f1: 0.25\n  name: hello\n");
  REQUIRE(yaml.points.size() == 2);
  REQUIRE(yaml.points[1].name == "nested.f1");
  auto csv = parse_metrics_file("m.csv", "epoch,loss,\"val,loss\",note\n1,0.5,0.6,x\n2,0.25,,y\n");
  REQUIRE(csv.points.size() == 3);
  REQUIRE(csv.points[2].at == 2);
  REQUIRE(csv.points[1].name == "val,loss");
}

TEST_CASE("NaN and infinity, as Python writes them, become points without a value") {
  auto json = parse_metrics_file("m.json", R"({"a": NaN, "b": -Infinity, "c": 1})");
  REQUIRE(json.problems.empty());
  auto lines = parse_metric_lines("{\"name\": \"a\", \"value\": null, \"step\": 4}\n");
  REQUIRE(lines.points.size() == 1);
  REQUIRE_FALSE(lines.points[0].value);
}

TEST_CASE("metric lines take one metric or several, and a torn last line is only noted") {
  auto parsed = parse_metric_lines(
      "{\"name\": \"loss\", \"value\": 0.5, \"step\": 1, \"time\": \"2026-01-31T12:00:00Z\"}\n{\"acc\": 1, "
      "\"f1\": 2, \"step\": "
      "2}\n\n{\"name\": \"lo");
  REQUIRE(parsed.points.size() == 3);
  REQUIRE(parsed.points[0].time);
  REQUIRE(parsed.points[1].at == 2);
  REQUIRE(parsed.problems.size() == 1);
  REQUIRE(parse_metrics_file("m.json", "{broken").problems.size() == 1);
}

TEST_CASE("step outputs are KEY=VALUE lines or blocks") {
  auto parsed = parse_outputs("rows=333\nnote<<END\na\nb=c\nEND\nempty=\n");
  REQUIRE(parsed.problems.empty());
  REQUIRE(parsed.values.size() == 3);
  REQUIRE(parsed.values[1].second == "a\nb=c");
  REQUIRE(parse_outputs("no equals sign").problems.size() == 1);
  REQUIRE(parse_outputs("k<<END\nnever ends").problems.size() == 1);
  REQUIRE(parse_outputs("bad key=1").problems.size() == 1);
}
