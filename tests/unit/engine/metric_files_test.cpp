#include "engine/metric_files.hpp"

#include "catch.hpp"

#include <ctime>

using namespace mlops::engine;

TEST_CASE("metrics are read from JSON, YAML, TOML, Python and CSV") {
  auto json = parse_metrics_file(
      "m.json", R"({"acc": 0.9, "per": {"a": 1, "label": "x"}, "list": [1, 2], "ok": true})");
  REQUIRE(json.problems.empty());
  REQUIRE(json.points.size() == 5);
  auto yaml = parse_metrics_file("m.yaml", "acc: 0.5\nnested:\n  f1: 0.25\n  name: hello\n");
  REQUIRE(yaml.points.size() == 2);
  REQUIRE(yaml.points[1].name == "nested.f1");
  auto toml =
      parse_metrics_file("m.toml", "acc = 0.5\nname = \"x\"\nday = 2026-01-31\n[per.class]\nf1 = inf\n");
  REQUIRE(toml.problems.empty());
  REQUIRE(toml.points.size() == 2);
  REQUIRE(toml.points[0].value == 0.5);
  REQUIRE(toml.points[1].name == "per.class.f1");
  REQUIRE_FALSE(toml.points[1].value);
  auto python = parse_metrics_file("m.py", "acc = 0.5\nby = {1: 0.25}\nclass Test: loss = 2\n");
  REQUIRE(python.points.size() == 3);
  REQUIRE(python.points[1].name == "by.1");
  REQUIRE(python.points[2].name == "Test.loss");
  REQUIRE(parse_metrics_file("scores", "acc: 0.5\n").points.size() == 1);
  auto csv = parse_metrics_file("m.csv", "epoch,loss,\"val,loss\",note\n1,0.5,0.6,x\n2,0.25,,y\n");
  REQUIRE(csv.points.size() == 3);
  REQUIRE(csv.points[2].at == 2);
  REQUIRE(csv.points[1].name == "val,loss");
}

TEST_CASE("NaN and infinity, as Python writes them, become points without a value") {
  auto json =
      parse_metrics_file("m.json", R"({"a": NaN, "b": -Infinity, "c": 1, "d": [Infinity], "say NaN": 2})");
  REQUIRE(json.problems.empty());
  REQUIRE(json.points.size() == 5);
  REQUIRE(json.points[0].name == "a");
  for (const int i : {0, 1, 3}) REQUIRE_FALSE(json.points[static_cast<std::size_t>(i)].value);
  REQUIRE(json.points[4].name == "say NaN");
  auto huge = parse_metrics_file("m.json", R"({"m": 1e400, "n": -1E999, "tiny": 1e-400, "ok": 2})");
  REQUIRE(huge.problems.empty());
  REQUIRE(huge.points.size() == 4);
  REQUIRE_FALSE(huge.points[0].value);
  REQUIRE_FALSE(huge.points[1].value);
  REQUIRE(huge.points[3].value == 0.0);

  auto lines = parse_metric_lines(
      "{\"name\": \"a\", \"value\": null, \"step\": 4}\n{\"name\":\"x\",\"value\":NaN}\n"
      "{\"loss\": NaN, \"epoch\": 3}\n{\"up\": Infinity, \"down\":-Infinity, \"big\": 1e999}\n");
  REQUIRE(lines.problems.empty());
  REQUIRE(lines.points.size() == 6);
  for (const auto& point : lines.points) REQUIRE_FALSE(point.value);
  REQUIRE(lines.points[2].name == "loss");
  REQUIRE(lines.points[2].at == 3);

  auto csv = parse_metrics_file("m.csv", "epoch,loss\n1,nan\n2,-inf\n3,1e999\n4,0.5\n");
  REQUIRE(csv.problems.empty());
  REQUIRE(csv.points.size() == 4);
  REQUIRE_FALSE(csv.points[0].value);
  REQUIRE(csv.points[3].value == 0.5);
}

TEST_CASE("words like NaN inside of strings stay as they are, and no others become numbers") {
  auto lines = parse_metric_lines(R"({"name": "the \"NaN\" of Infinity", "value": NaN})");
  REQUIRE(lines.points.size() == 1);
  REQUIRE(lines.points[0].name == "the \"NaN\" of Infinity");
  for (const char* bad :
       {R"({"a": NaNs})", R"({"a": +NaN})", R"({"a": nan})", R"({"a": 1e400x})", R"({"a": NaN)"}) {
    INFO(bad);
    REQUIRE(parse_metric_lines(bad).points.empty());
    REQUIRE(parse_metric_lines(bad).problems.size() == 1);
    REQUIRE(parse_metrics_file("m.json", bad).broken);
  }
}

TEST_CASE("a text that is a number is that number") {
  auto lines = parse_metric_lines(
      "{\"name\": \"a\", \"value\": \"0.5\"}\n{\"b\": \" +1e-3 \", \"note\": \"1 of 2\"}\n");
  REQUIRE(lines.problems.empty());
  REQUIRE(lines.points.size() == 2);
  REQUIRE(lines.points[0].value == 0.5);
  REQUIRE(lines.points[1].value == 0.001);
  REQUIRE(parse_metrics_file("m.json", R"({"a": "0.5", "b": "0x10", "c": "", "d": "nan"})").points.size() ==
          2);
  auto bad = parse_metric_lines(R"({"name": "a", "value": "high"})");
  REQUIRE(bad.points.empty());
  REQUIRE(bad.problems == std::vector<std::string>{"line 1 of MLOPS_METRICS: the value of 'a' is no number"});
}

TEST_CASE("a file of which nothing can be read is broken; single values are not") {
  for (const char* text : {"{", "", "{\"a\": 1}}", "{\n\"a\": 1,\n"})
    REQUIRE(parse_metrics_file("m.json", text).broken);
  REQUIRE_THAT(parse_metrics_file("m.json", "{\n\"a\" 1}").problems.at(0), ContainsSubstring("line 2"));
  REQUIRE(parse_metrics_file("m.yaml", "a: [1").broken);
  REQUIRE(parse_metrics_file("m.toml", "a = [1").broken);
  REQUIRE_THAT(parse_metrics_file("scores", "rubbish").problems.at(0), ContainsSubstring("not valid JSON"));
  auto csv = parse_metrics_file("m.csv", "step,loss,note\n1,0.5,x\n2,oops,y\nz,0.25,\n");
  REQUIRE_FALSE(csv.broken);
  REQUIRE(csv.points.size() == 2);
  REQUIRE(csv.problems == std::vector<std::string>{"column 'note': 'x' on line 2 is no number",
                                                   "column 'loss': 'oops' on line 3 is no number",
                                                   "column 'step': 'z' on line 4 is no number"});
}

TEST_CASE("floods of rubbish are told in a few words and soon given up") {
  std::string text;
  for (int i = 0; i < 25; ++i) text += "rubbish\n";
  auto few = parse_metric_lines(text + "{\"a\": 1}\n");
  REQUIRE(few.points.size() == 1);
  REQUIRE(few.problems.size() == 11);
  REQUIRE(few.problems.back() == "and 15 more");
  auto outputs = parse_outputs(text + "a=1\n");
  REQUIRE(outputs.values.size() == 1);
  REQUIRE(outputs.problems.size() == 11);

  for (const std::string& line :
       {std::string("x\n"), std::string("{x}\n"), "{\"a\":" + std::string(900'000, '[') + "}\n"}) {
    // Four times as much takes about four times as long, however fast the machine is, and by no means
    // sixteen.
    std::clock_t took[2] = {};
    for (const std::size_t whole : {0u, 1u}) {
      text.clear();
      while (text.size() < (whole ? 20u << 20 : 5u << 20)) text += line;
      const std::clock_t begin = std::clock();
      auto flood = parse_metric_lines(text);
      took[whole] = std::clock() - begin;
      REQUIRE(flood.points.empty());
      REQUIRE(flood.problems.size() <= 12);
    }
    REQUIRE(took[1] < 10 * took[0] + CLOCKS_PER_SEC / 20);
  }
  REQUIRE_THAT(parse_metric_lines("{\"a\": \"" + std::string(2u << 20, 'x') + "\"}").problems.at(0),
               ContainsSubstring("longer than 1 MiB"));
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
