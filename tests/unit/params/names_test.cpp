#include "params/names.hpp"

#include "catch.hpp"

using namespace mlops::params;

namespace {
StepNames names() {
  StepNames result;
  result.add("ingest", "ingest");
  result.add("train", "train");
  result.add("train.v2", "train.v2");
  result.add("fit@lr=0.1", "fit");
  result.add("fit@lr=0.2", "fit");
  return result;
}
}  // namespace

TEST_CASE("a name stands for a step or for all of an expansion") {
  const StepNames n = names();
  REQUIRE(n.contains("train"));
  REQUIRE(n.contains("fit@lr=0.1"));
  REQUIRE_FALSE(n.contains("fit"));
  REQUIRE(n.resolve("train") == std::vector<std::string>{"train"});
  REQUIRE(n.resolve("fit") == std::vector<std::string>{"fit@lr=0.1", "fit@lr=0.2"});
  REQUIRE(n.resolve("nope").empty());
  REQUIRE(n.resolve("").empty());
}

TEST_CASE("a reference is split after the longest name that is known") {
  const StepNames n = names();
  const auto split = [&](std::string_view text) {
    const auto s = n.split(text);
    return s ? std::string(s->name) + "|" + std::string(s->rest) : "none";
  };
  REQUIRE(split("train.outputs.x") == "train|.outputs.x");
  REQUIRE(split("train.v2.outputs.x") == "train.v2|.outputs.x");
  REQUIRE(split("train.v3.outputs.x") == "train|.v3.outputs.x");
  REQUIRE(split("fit@lr=0.1.state") == "fit@lr=0.1|.state");
  REQUIRE(split("fit.state") == "fit|.state");
  REQUIRE(split("train") == "train|");
  REQUIRE(split("trainx.state") == "none");
  REQUIRE(split("") == "none");
  REQUIRE(split(".") == "none");
  REQUIRE(split(std::string(10'000, '.')) == "none");
}

TEST_CASE("an unknown name gets the nearest one, an expansion its steps") {
  const StepNames n = names();
  REQUIRE(n.suggest("ingets") == "did you mean 'ingest'?");
  REQUIRE(n.suggest("zzzzzz") == "known: ingest, train, train.v2, fit");
  REQUIRE(n.suggest("fit@lr=0.3") == "did you mean 'fit@lr=0.1'?");
  REQUIRE(n.suggest("fit") == "known: fit@lr=0.1, fit@lr=0.2");
  StepNames many;
  for (int i = 0; i < 30; ++i) many.add("fit@" + std::to_string(1000 + i), "fit");
  REQUIRE(many.suggest("fit") == "did you mean 'fit@1000'?");
  for (int i = 0; i < 60; ++i) many.suggest("x");
  REQUIRE(many.suggest("fi").empty());  // a file full of mistakes gets no more hints
}
