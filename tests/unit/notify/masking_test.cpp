// What is left out of what the other side says.
#include "notify/masking.hpp"

#include "catch.hpp"

using namespace mlops::notify;

TEST_CASE("no part of a secret URL is left in what its server says") {
  const std::string url =
      "https://me:pa55word@hooks.example.org/api/canary-123?key=v4lue-1&x=ab%2Fcdef#frag5";
  const auto without = [&](const std::string& said) { return masked(said, telling_parts(url)); };
  REQUIRE(without("unknown token canary-123") == "unknown token …");
  REQUIRE(without(R"(no "\/api\/canary-123" here)") == R"(no "\/api\/…" here)");
  REQUIRE(without("see " + url + "!") == "see …!");
  REQUIRE(without("/api/canary-123 is not there") == "… is not there");
  REQUIRE(without("v4lue-1, ab%2Fcdef, ab/cdef, frag5, pa55word") == "…, …, …, …, …");
  REQUIRE(without("hooks.example.org has no key, no api, and not me") ==
          "hooks.example.org has no key, no api, and not me");
  REQUIRE(masked("a b", telling_parts("https://hooks.example.org")) == "a b");
}

TEST_CASE("values of secrets and their lines are left out, those that begin with another one too") {
  REQUIRE(masked("cannot log in with k3yk3y", telling_parts("k3yk3y")) == "cannot log in with …");
  REQUIRE(masked("at line two2", telling_parts("one1\ntwo2\r\n")) == "at line …");
  REQUIRE(masked("abcd abcdef", {"abcd", "abcdef"}) == "… …");
  REQUIRE(masked("abc", {"abc", ""}) == "abc");
}
