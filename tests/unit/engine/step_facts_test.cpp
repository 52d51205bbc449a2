#include "engine/step_facts.hpp"

#include "catch.hpp"

using namespace mlops;
using namespace mlops::engine;

namespace {

StepFacts facts() {
  StepFacts f;
  f.command = {"train --lr 0.1\nsecond line"};
  f.shell = true;
  f.params = {{"lr", "0.1"}};
  f.inputs = {{"data", "tree", std::string(64, 'a'), 1, 1}, {"x", "file", std::string(64, 'b'), 1, 1}};
  f.outputs = {"model"};
  return f;
}

std::vector<std::string> said(const std::vector<Cause>& causes) {
  std::vector<std::string> list;
  for (const Cause& cause : causes) list.push_back(words(cause));
  return list;
}

}  // namespace

TEST_CASE("a folder that changed is told by its files, if they are known") {
  const StepFacts before = facts();
  StepFacts now = facts();
  now.inputs[0].sha256 = std::string(64, 'c');
  REQUIRE(said(compare_facts(before, now)) ==
          std::vector<std::string>{"input data: aaaaaaaaaaaa → cccccccccccc"});
  const auto unknown = [](const FileFact&, const FileFact&) { return std::nullopt; };
  REQUIRE(said(compare_facts(before, now, unknown)).size() == 1);
  const auto two = [](const FileFact&, const FileFact&) {
    return std::optional(std::vector<FileChange>{{"a", "1", "2"}, {"b", "", "3"}, {"c", "4", ""}});
  };
  REQUIRE(said(compare_facts(before, now, two)) ==
          std::vector<std::string>{"input data/a: 1 → 2", "input data/b is new (3)",
                                   "input data/c is gone (it was 4)"});
  const auto many = [](const FileFact&, const FileFact&) {
    return std::optional(std::vector<FileChange>(9, {"f", "1", "2"}));
  };
  const auto list = said(compare_facts(before, now, many));
  REQUIRE(list.size() == 6);
  REQUIRE(list.back() == "and 4 more files of data");
}

TEST_CASE("what is no longer declared is not taken for deleted") {
  StepFacts before = facts();
  StepFacts now = before;
  now.inputs.erase(now.inputs.begin());
  now.outputs.clear();
  before.outputs = {"m"};
  REQUIRE(said(compare_facts(before, now)) ==
          std::vector<std::string>{"input data: aaaaaaaaaaaa → not declared",
                                   "output m: declared → not declared"});
  now = before;
  now.inputs[0].form = now.inputs[0].sha256 = "";
  REQUIRE(said(compare_facts(before, now)) ==
          std::vector<std::string>{"input data is gone (it was aaaaaaaaaaaa)"});
}

TEST_CASE("causes survive as JSON") {
  const std::vector<Cause> causes = {
      {"input", "x", "1", "2", "clean"}, {"restored", "model", "", ""}, {"first_run", "", "", ""}};
  const auto back = parse_causes(causes_json(causes).dump());
  REQUIRE(said(back) == said(causes));
  REQUIRE(words(back[0]) == "input x: 1 → 2, made by clean");
  REQUIRE(parse_causes("nonsense").empty());
  REQUIRE(parse_causes("[1]").empty());
}

TEST_CASE("the text of a key is the JSON of the facts") {
  StepFacts facts;
  facts.command = {"python train.py --name \"a\\b\"\n\tnächste Zeile\x7f"};
  facts.shell = true;
  facts.workdir = "sub";
  facts.params = {{"lr", "0.1"}, {"name", "\"x\""}};
  facts.env = {{"A", ""}, {"B", "1"}};
  facts.inputs = {{"data/raw.csv", "file", "00ff", 12, 1}, {"with space", "", "", 0, 1}};
  facts.code = {{"train.py", "executable", "11", 1, 1}};
  facts.outputs = {"model.bin", "mod\xc3\xa8le"};
  facts.metrics = {"m\xc3\xa9trique.json"};
  REQUIRE(key_text(facts) == facts_json(facts).dump());
  REQUIRE(parse_facts(facts_json(facts)) == facts);
  facts.shell = false;
  facts.command = {"python", "train.py", ""};
  REQUIRE(key_text(facts) == facts_json(facts).dump());
  REQUIRE(parse_facts(facts_json(facts)) == facts);
  REQUIRE(key_text({}) == facts_json({}).dump());
}

TEST_CASE("two facts never have one key") {
  const auto argv = [](std::vector<std::string> command) {
    StepFacts facts;
    facts.command = std::move(command);
    return cache_key(facts);
  };
  REQUIRE(argv({"sh", "b\nc"}) != argv({"sh", "b", "c"}));
  REQUIRE(argv({"sh", ""}) != argv({"sh"}));
  StepFacts script;
  script.shell = true;
  script.command = {"true"};
  REQUIRE(cache_key(script) != argv({"true"}));

  const auto input = [](const std::string& path) {
    StepFacts facts;
    facts.inputs = {{path, "file", "00", 1, 1}};
    return cache_key(facts);
  };
  REQUIRE(input("x\xff") != input("x\xfe"));
  REQUIRE(input("x\xff") != input("x\xef\xbf\xbd"));

  StepFacts output, metrics;
  output.outputs = {"m.json"};
  metrics.metrics = {"m.json"};
  REQUIRE(cache_key(output) != cache_key(metrics));
  REQUIRE(said(compare_facts(output, metrics)) ==
          std::vector<std::string>{"output m.json: declared → not declared",
                                   "metrics file m.json is new (declared)"});
}

TEST_CASE("facts of another format say so, and nothing else of themselves") {
  const StepFacts before =
      parse_facts(Json::parse(R"({"command": "a\nb", "outputs": ["m.json"], "shell": false})"));
  REQUIRE(before.format == 1);
  REQUIRE(before.command == std::vector<std::string>{"a\nb"});
  REQUIRE(said(compare_facts(before, facts())) ==
          std::vector<std::string>{"this version of mlops takes more into account than the one before"});
}
