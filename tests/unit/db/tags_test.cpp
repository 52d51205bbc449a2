#include "db/tags.hpp"

#include "catch.hpp"

using mlops::db::parse_tag;

TEST_CASE("a tag is a key, or a key and a value", "[db][tags]") {
  const auto plain = parse_tag("baseline");
  REQUIRE(plain);
  CHECK(plain->key == "baseline");
  CHECK(plain->value.empty());
  CHECK(plain->text() == "baseline");
  const auto pair = parse_tag("team/release-1.0=a = b");
  REQUIRE(pair);
  CHECK(pair->key == "team/release-1.0");
  CHECK(pair->value == "a = b");
  CHECK(pair->text() == "team/release-1.0=a = b");
}

TEST_CASE("what could not be told from other things is no tag", "[db][tags]") {
  for (const std::string text : {"", "=x", "a b", "a\n", "-a", "a=\x1b[31m", "a=b\nc", "a=\xff", "\xc3\xa4"})
    CHECK_FALSE(parse_tag(text));
  CHECK_FALSE(parse_tag(std::string(251, 'a')));
  CHECK(parse_tag(std::string(250, 'a') + "=" + std::string(5000, 'b')));
  CHECK_FALSE(parse_tag("a=" + std::string(5001, 'b')));
}
