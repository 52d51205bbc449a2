#include "util/toml.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"

using namespace mlops;

TEST_CASE("TOML that the library takes no care of is a bad file, and letters beyond ASCII are letters") {
  for (const char* text : {"[,]", "[[,]]\na = 1", "a = 1\n[ =]", "\xc3\xa9 = 1"}) {
    INFO(text);
    REQUIRE_THROWS_AS(util::parse_toml(text, "params.toml"), BadFile);
  }
  REQUIRE(util::parse_toml("b = \"\xc3\xa9\"\na = 1 # \xc2\xa1\n", "params.toml").dump() ==
          R"({"b":"é","a":1})");
}
