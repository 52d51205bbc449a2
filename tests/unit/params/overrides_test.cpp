#include "params/overrides.hpp"

#include "catch.hpp"

using namespace mlops;
using namespace mlops::params;

namespace {

const Json kParams = Json::parse(
    R"({"seed": 1, "train": {"lr": 0.1, "layers": [64, 32]}, "models": [{"name": "rf"}, {"name": "gb"}], "on": true})");

Json with(const std::string& text) {
  Json params = kParams;
  const auto problem = apply_override(params, text);
  INFO(text << (problem ? ": " + problem->message : ""));
  REQUIRE_FALSE(problem);
  return params;
}

// "message | hint"; the params must be as they were.
std::string refused(const std::string& text) {
  Json params = kParams;
  const auto problem = apply_override(params, text);
  INFO(text);
  REQUIRE(problem);
  REQUIRE(problem->file == "--set " + text);
  REQUIRE(params == kParams);
  return problem->message + " | " + problem->hint;
}

}  // namespace

TEST_CASE("a param is set by its dotted name, with a value of YAML") {
  REQUIRE(with("seed=2").at("seed") == Json(2));
  REQUIRE(with("train.lr=0.2").at("train").at("lr") == Json(0.2));
  REQUIRE(with("train.layers.1=16").at("train").at("layers") == Json({64, 16}));
  REQUIRE(with("models.0.name=svm").at("models")[0].at("name") == Json("svm"));
  const std::vector<std::pair<const char*, Json>> values = {
      {"true", true},       {"yes", "yes"},         {"010", "010"},    {"1e-3", 0.001},    {"", ""},
      {" x ", "x"},         {"~", nullptr},         {"null", nullptr}, {"\"5\"", "5"},     {"'a b'", "a b"},
      {"[1, a]", {1, "a"}}, {"{a: 1}", {{"a", 1}}}, {"a=b", "a=b"},    {"a: b", "a: b"},   {"# x", "# x"},
      {"*x", "*x"},         {"!!int 1", "!!int 1"}, {"-", "-"},        {"12:30", "12:30"}, {"0x1F", 31}};
  for (const auto& [text, value] : values) {
    INFO(text);
    REQUIRE(with("seed=" + std::string(text)).at("seed") == value);
  }
  REQUIRE(with("train={lr: 1}").at("train") == Json({{"lr", 1}}));
}

TEST_CASE("a plus adds what is not there, with the maps that lead to it") {
  REQUIRE(with("+new=1").at("new") == Json(1));
  REQUIRE(with("+a.b.c=x").at("a") == Json::parse(R"({"b":{"c":"x"}})"));
  REQUIRE(with("+train.epochs=5").at("train").at("epochs") == Json(5));
  REQUIRE(with("+seed=5").at("seed") == Json(5));
}

TEST_CASE("what cannot be set is explained") {
  REQUIRE_THAT(refused("seed"), ContainsSubstring("expected NAME=VALUE | such as --set train.lr=0.2"));
  REQUIRE_THAT(
      refused("sed=1"),
      ContainsSubstring("no param 'sed' in the file | did you mean 'seed'? To add one, write '+sed=…'"));
  REQUIRE_THAT(refused("train.lrr=1"), ContainsSubstring("did you mean 'train.lr'?"));
  REQUIRE_THAT(refused("params.seed=1"), ContainsSubstring("the name starts below params | write seed"));
  for (const char* text : {"=1", ".=1", "a..b=1", "train.=1", "+=1"})
    REQUIRE_THAT(refused(text), ContainsSubstring("empty part"));
  REQUIRE_THAT(refused("seed.x=1"), ContainsSubstring("'seed' is not a map, so it has no 'x'"));
  REQUIRE_THAT(refused("+seed.x=1"), ContainsSubstring("'seed' is not a map"));
  REQUIRE_THAT(refused("train.layers.2=1"),
               ContainsSubstring("'train.layers' is a list without an item 2 | set the whole list"));
  REQUIRE_THAT(refused("train.layers.-1=1"), ContainsSubstring("without an item -1"));
  REQUIRE_THAT(refused("train=1"),
               ContainsSubstring(
                   "'train' is a map; a single value would wipe out its keys | set one key: train.layers=…"));
  REQUIRE_THAT(refused("seed=[1, 2"), ContainsSubstring("not valid YAML"));
  REQUIRE_THAT(refused("seed='x"), ContainsSubstring("not valid YAML"));
  REQUIRE_THAT(refused("seed=[1] x"), ContainsSubstring("not valid YAML"));
  REQUIRE_THAT(refused("seed=.inf"), ContainsSubstring("JSON has no form for this number"));
  REQUIRE_THAT(refused("seed=[1, .nan]"), ContainsSubstring("JSON has no form for this number"));
  REQUIRE_THAT(refused("train={lr: -.inf}"), ContainsSubstring("JSON has no form for this number"));
  std::string deep = "+a";
  for (int i = 0; i < 40; ++i) deep += ".a";
  REQUIRE_THAT(refused(deep + "=1"), ContainsSubstring("too many parts"));
  Json params = kParams;
  REQUIRE(apply_override(params, "seed=\xff")->message == "not UTF-8");
}

TEST_CASE("params are found by dotted names") {
  REQUIRE(*find_param(kParams, "train.layers.0") == Json(64));
  REQUIRE(*find_param(kParams, "models.1.name") == Json("gb"));
  for (const char* name : {"", "x", "train.x", "train.layers.2", "train.layers.x", "train.layers.00x",
                           "seed.x", ".seed", "seed.", "models.-1"}) {
    INFO(name);
    REQUIRE(find_param(kParams, name) == nullptr);
  }
  REQUIRE(suggest_param(kParams, "train.layer", "params.") == "did you mean 'params.train.layers'?");
  REQUIRE(suggest_param(kParams, "train.layers.9", "") == "train.layers is a list of 2");
  REQUIRE(suggest_param(kParams, "seed.x", "").empty());
}
