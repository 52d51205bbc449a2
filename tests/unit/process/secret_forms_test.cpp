#include "process/secret_forms.hpp"

#include "catch.hpp"

using namespace mlops::process;

namespace {

std::string shown(const SecretForms& forms, const std::string& text, std::size_t piece) {
  HeldOutput held;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece)
    out += forms.mask(held, text.substr(at, piece), false);
  return out + forms.mask(held, "", true);
}

}  // namespace

TEST_CASE("secrets are masked in every form, in whatever pieces they come") {
  const SecretForms forms({R"(c4n"ary/s'3 cret)", "another-one", "another-one-longer"});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"(a c4n"ary/s'3 cret b)", "a *** b"},
      {R"(c4n"ary/s'3 cretc4n"ary/s'3 cret)", "******"},
      {"YzRuImFyeS9zJzMgY3JldA==", "***A=="},   // base64
      {"eGM0biJhcnkvcyczIGNyZXQ=", "eG***Q="},  // "x" before it
      {"eHhjNG4iYXJ5L3MnMyBjcmV0", "eHh***"},   // "xx"
      {"u=c4n%22ary%2Fs%273%20cret&", "u=***&"},
      {"u=c4n%22ary/s'3+cret&", "u=***&"},
      {R"({"a":"c4n\"ary/s'3 cret"})", R"({"a":"***"})"},
      {R"(+ echo 'c4n"ary/s'"'"'3 cret')", "+ echo '***'"},
      {"63346e226172792f7327332063726574", "***"},
      {"an another-one-long another-one-longer another-on", "an ***-long *** another-on"},
      {std::string("\0\xff", 2) + R"(c4n"ary/s'3 cre)", std::string("\0\xff", 2) + R"(c4n"ary/s'3 cre)"},
  };
  for (const auto& [text, expected] : cases) {
    for (const std::size_t piece : {1u, 2u, 3u, 5u, 7u, 100u}) REQUIRE(shown(forms, text, piece) == expected);
  }
}

TEST_CASE("secrets that overlap leave nothing between them") {
  const SecretForms forms({"abcdefghijkl", "ijklmnopqrst"});
  for (const std::size_t piece : {1u, 4u, 9u, 100u}) {
    REQUIRE(shown(forms, "-abcdefghijklmnopqrst-", piece) == "-***-");
    REQUIRE(shown(forms, "-abcdefghijklmno-", piece) == "-***mno-");
  }
}

TEST_CASE("each line of a long secret is masked, and what base64 wraps") {
  const std::string key =
      "-----BEGIN KEY-----\n" + std::string(40, 'x') + "\n" + std::string(40, 'y') + "\nend";
  const SecretForms forms({key});
  REQUIRE(shown(forms, "a " + std::string(40, 'y') + " b", 3) == "a *** b");
  const std::string encoded =
      "LS0tLS1CRUdJTiBLRVktLS0tLQp4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4\n"
      "eHh4Cnl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXkKZW5k";
  REQUIRE(shown(forms, encoded, 10) == "***\n***");
}

TEST_CASE("what is too short is left, and without secrets nothing is held") {
  REQUIRE(SecretForms({"1234567", ""}).empty());
  HeldOutput held;
  REQUIRE(SecretForms({"12345678"}).mask(held, "12345", false).empty());
  REQUIRE(held.bytes == "12345");
}
