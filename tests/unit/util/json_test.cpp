#include "util/json.hpp"

#include "catch.hpp"

#include <string>

using namespace mlops::util;

TEST_CASE("JSON is read as far as it can be written again") {
  REQUIRE(parse_json(R"({"a": [1, null, "x"]})")["a"][2] == "x");
  for (const char* text : {"", "{", "[1,]", "\xff", "[1e999]", "1 2"})
    REQUIRE(parse_json(text).is_discarded());
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  REQUIRE(parse_json(nested(deepest_json)).dump() == nested(deepest_json));
  REQUIRE(parse_json(nested(deepest_json + 2)).is_discarded());
  REQUIRE(parse_json(nested(500'000)).is_discarded());
}
