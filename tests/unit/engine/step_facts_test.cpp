#include "engine/step_facts.hpp"

#include "catch.hpp"

using namespace mlops;
using namespace mlops::engine;

TEST_CASE("the text of a key is the JSON of the facts with the version of its format") {
  StepFacts facts;
  facts.command = "python train.py --name \"a\\b\"\n\tnächste Zeile\x7f \xff";
  facts.shell = true;
  facts.workdir = "sub";
  facts.params = {{"lr", "0.1"}, {"name", "\"x\""}};
  facts.env = {{"A", ""}, {"B", "1"}};
  facts.inputs = {{"data/raw.csv", "file", "00ff", 12, 1}, {"with space", "", "", 0, 1}};
  facts.code = {{"train.py", "executable", "11", 1, 1}};
  facts.outputs = {"model.bin", "m\xc3\xa9trique.json"};
  Json json = facts_json(facts);
  json["format"] = 1;
  REQUIRE(key_text(facts) == json.dump(-1, ' ', false, Json::error_handler_t::replace));
  json = facts_json({});
  json["format"] = 1;
  REQUIRE(key_text({}) == json.dump());
}
