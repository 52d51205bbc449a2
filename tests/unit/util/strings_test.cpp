#include "util/strings.hpp"

#include "catch.hpp"

using namespace mlops::util;

TEST_CASE("texts are split, joined and trimmed") {
  REQUIRE(split("a,,b", ',') == std::vector<std::string>{"a", "", "b"});
  REQUIRE(split("", ',') == std::vector<std::string>{""});
  REQUIRE(split("a,", ',') == std::vector<std::string>{"a", ""});
  REQUIRE(join({"a", "", "b"}, "--") == "a----b");
  REQUIRE(join({}, ",").empty());
  REQUIRE(trim(" \t\r\n a b \n") == "a b");
  REQUIRE(trim(" \n").empty());
}

TEST_CASE("a word of the shell is quoted only where it must be") {
  REQUIRE(shell_quote("train.py") == "train.py");
  REQUIRE(shell_quote("--lr=0.1") == "--lr=0.1");
  REQUIRE(shell_quote("/a/b_c-d.e:f,g@h%i+j") == "/a/b_c-d.e:f,g@h%i+j");
  REQUIRE(shell_quote("") == "''");
  REQUIRE(shell_quote("a b") == "'a b'");
  REQUIRE(shell_quote("it's") == "'it'\\''s'");
  for (const char c : std::string("~!#$^&*()[]{}|\\;'\"<>?` \t\n")) {
    INFO(c);
    REQUIRE(shell_quote(std::string(1, c)).front() == '\'');
  }
  REQUIRE(shell_quote("é") == "'é'");
}

TEST_CASE("a slip of the fingers is recognised, another word is not") {
  const std::vector<std::string> keys = {"outputs", "inputs", "run", "needs"};
  REQUIRE(closest("ouputs", keys) == "outputs");
  REQUIRE(closest("uotputs", keys) == "outputs");
  REQUIRE(closest("rnu", keys) == "run");
  REQUIRE(closest("need", keys) == "needs");
  REQUIRE(closest("x", keys).empty());
  REQUIRE(closest("", keys).empty());
  REQUIRE(closest("schedule", keys).empty());
  REQUIRE(closest(std::string(1000, 'a'), {std::string(1000, 'a')}).empty());
  REQUIRE(closest("ouputs", std::vector<std::string>(2001, "outputs")).empty());  // would take too long
  REQUIRE(did_you_mean("ouputs", keys) == "did you mean 'outputs'?");
  REQUIRE(did_you_mean("schedule", keys) == "known: outputs, inputs, run, needs");
  const std::string many = did_you_mean("zzzz", std::vector<std::string>(40, std::string(30, 'a')));
  REQUIRE(many.size() < 430);
  REQUIRE_THAT(many, ContainsSubstring("a, and 28 more"));
  REQUIRE(did_you_mean("x", {}).empty());
  REQUIRE(did_you_mean("xyz", std::vector<std::string>(41, "abcdefgh")).empty());
}

TEST_CASE("UTF-8 is checked strictly and repaired byte by byte") {
  for (const char* good : {"", "plain", "é", "한글", "😀", "\xF4\x8F\xBF\xBF"}) {
    REQUIRE(is_utf8(good));
    REQUIRE(to_utf8(good) == good);
  }
  const std::vector<std::string> bad = {"\x80",              // a continuation alone
                                        "\xC3",              // cut off
                                        "\xC0\xAF",          // '/' in two bytes
                                        "\xE0\x80\xAF",      // '/' in three
                                        "\xED\xA0\x80",      // a surrogate
                                        "\xF4\x90\x80\x80",  // beyond U+10FFFF
                                        "\xF8\x88\x80\x80\x80",
                                        "\xFF",
                                        "a\xE2\x82"
                                        "b"};
  for (const std::string& text : bad) {
    REQUIRE_FALSE(is_utf8(text));
    REQUIRE(is_utf8(to_utf8(text)));
  }
  REQUIRE(to_utf8("a\xFF"
                  "b") ==
          "a\xEF\xBF\xBD"
          "b");
  REQUIRE(to_utf8("a\xE2\x82"
                  "b") ==
          "a\xEF\xBF\xBD\xEF\xBF\xBD"
          "b");
}

TEST_CASE("wide characters take two columns, accents none") {
  REQUIRE(display_width("") == 0);
  REQUIRE(display_width("train") == 5);
  REQUIRE(display_width("é") == 1);
  REQUIRE(display_width("e\xCC\x81") == 1);
  REQUIRE(display_width("한글") == 4);
  REQUIRE(display_width("模型.bin") == 8);
  REQUIRE(display_width("🚀") == 2);
  REQUIRE(display_width("▶ x") == 3);
  REQUIRE(display_width("\xFF\xFF") == 2);
}

TEST_CASE("control characters are shown, not sent") {
  REQUIRE(escape_controls("plain é 한 \\n") == "plain é 한 \\n");
  REQUIRE(escape_controls("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  REQUIRE(escape_controls(std::string("\x1b[31m\0\x7f", 7)) == "\\x1b[31m\\x00\\x7f");
  REQUIRE(escape_controls("\xC2\x9B\xC2\xA0") == "\\x9b\xC2\xA0");
}
