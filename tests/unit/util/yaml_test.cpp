#include "util/yaml.hpp"

#include "catch.hpp"

#include <cmath>
#include <limits>

using namespace mlops;
using util::YamlNode;
using Json = nlohmann::json;

namespace {

struct Read {
  YamlNode root;
  std::vector<Diagnostic> problems;
  Json json() const { return util::to_json(root); }
};

Read read(std::string_view text) {
  Read result;
  result.root = util::parse_yaml(text, "f.yaml", result.problems);
  return result;
}

// The only problem, as "line:column message".
std::string problem(std::string_view text) {
  const Read result = read(text);
  INFO(text.substr(0, 200));
  REQUIRE(result.problems.size() == 1);
  const Diagnostic& d = result.problems[0];
  REQUIRE(d.file == "f.yaml");
  return std::to_string(d.at.line) + ":" + std::to_string(d.at.column) + " " + d.message;
}

Json value(const std::string& scalar) {
  const Read result = read("a: " + scalar);
  INFO(scalar);
  REQUIRE(result.problems.empty());
  return result.json().at("a");
}

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

}  // namespace

TEST_CASE("scalars mean what the core schema of YAML 1.2 says") {
  for (const char* text :
       {"yes",        "no",    "on",      "off",   "y",    "n",   "Yes",  "NO",   "010",   "-010",
        "00",         "12:30", "1:20:30", "1_000", "0b11", "0o",  "0x",   "0xZZ", "-0x1F", "+0o17",
        "1.2.3",      "1e",    "e5",      ".",     "+",    "inf", "nan",  ".iNf", "1.5.",  "1,5",
        "2026-01-31", "nUll",  "tRUE",    ".e5",   "--1",  "+-1", "1e999"}) {
    REQUIRE(value(text) == Json(text));
  }
  for (const char* text : {"true", "True", "TRUE"}) REQUIRE(value(text) == Json(true));
  for (const char* text : {"false", "False", "FALSE"}) REQUIRE(value(text) == Json(false));
  for (const char* text : {"~", "null", "Null", "NULL", ""}) REQUIRE(value(text).is_null());
  REQUIRE(value("0o17") == Json(15));
  REQUIRE(value("0x1F") == Json(31));
  REQUIRE(value("0") == Json(0));
  REQUIRE(value("-12") == Json(-12));
  REQUIRE(value("+12") == Json(12));
  REQUIRE(value("18446744073709551615") == Json(18446744073709551615ull));
  REQUIRE(value("18446744073709551616") == Json("18446744073709551616"));
  REQUIRE(value("-9223372036854775808") == Json(std::numeric_limits<std::int64_t>::min()));
  REQUIRE(value("1.5e-3") == Json(0.0015));
  REQUIRE(value("-.5") == Json(-0.5));
  REQUIRE(value("5.") == Json(5.0));
  REQUIRE(value(".inf").get<double>() == INFINITY);
  REQUIRE(value("-.INF").get<double>() == -INFINITY);
  REQUIRE(std::isnan(value(".NaN").get<double>()));
  REQUIRE(util::plain_value("-") == Json("-"));
}

TEST_CASE("quotes, block scalars and !!str make text of anything") {
  for (const char* text : {"'1'", "\"1\"", "!!str 1", "! 1", "|-\n  1", ">-\n  1"})
    REQUIRE(value(text) == Json("1"));
  REQUIRE(value("'null'") == Json("null"));
  REQUIRE(value("!!str null") == Json("null"));
  REQUIRE(value("''") == Json(""));
  REQUIRE(value("\"a\\u00e9\\n\"") == Json("aé\n"));
}

TEST_CASE("nodes remember their place") {
  const Read result = read("# head\na: 1\nlist:\n  - x\n  - {k: 'v'}\n");
  REQUIRE(result.problems.empty());
  const YamlNode& list = *result.root.find("list");
  REQUIRE(result.root.entries[1].at.line == 3);
  REQUIRE(result.root.entries[1].at.column == 1);
  REQUIRE(list.items[0].at.line == 4);
  REQUIRE(list.items[0].at.column == 5);
  REQUIRE(list.items[1].find("k")->at.line == 5);
  REQUIRE(list.items[1].find("k")->at.column == 9);
  REQUIRE(result.root.find("nope") == nullptr);
}

TEST_CASE("a byte order mark is passed over, as are CRLF line ends") {
  const Read result = read(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: x\r\n");
  REQUIRE(result.problems.empty());
  REQUIRE(result.json() == Json({{"a", 1}, {"b", "x"}}));
}

TEST_CASE("keys are found in small and large maps, in the order of the file") {
  std::string text;
  for (int i = 999; i >= 0; --i) text += "k" + std::to_string(i) + ": " + std::to_string(i) + "\n";
  const Read result = read(text);
  REQUIRE(result.problems.empty());
  REQUIRE(result.root.entries.front().key == "k999");
  for (int i = 0; i < 1000; ++i)
    REQUIRE(result.root.find("k" + std::to_string(i))->text == std::to_string(i));
  REQUIRE(result.root.find("k1000") == nullptr);
}

TEST_CASE("aliases repeat what they name, and merge keys fill in what a map lacks") {
  REQUIRE(read("a: &x {k: [1, 2]}\nb: *x\n").json() == Json::parse(R"({"a":{"k":[1,2]},"b":{"k":[1,2]}})"));
  REQUIRE(read("&k key: 1\nb: *k\n").json() == Json::parse(R"({"key":1,"b":"key"})"));
  REQUIRE(read("a: &k key\n*k : 2\n").json() == Json::parse(R"({"a":"key","key":2})"));
  REQUIRE(read("- &x [1]\n- *x\n- *x\n- &x 2\n- *x\n").json() == Json::parse("[[1],[1],[1],2,2]"));
  const Read merged = read("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 0}\n");
  REQUIRE(merged.problems.empty());
  REQUIRE(merged.json().at("z") == Json::parse(R"({"a":0,"b":1,"c":2})"));
  REQUIRE(read("'<<': 1\n").json() == Json::parse(R"({"<<":1})"));
  REQUIRE_THAT(problem("a: {<<: 1}\n"), ContainsSubstring("1:9 '<<' merges a map"));
  REQUIRE_THAT(problem("a: *x\n"), ContainsSubstring("1:4 the alias names an anchor that is not defined"));
  REQUIRE_THAT(problem("x: &x [1]\n*x : 2\n"), ContainsSubstring("2:1 a map key must be text, not a list"));
}

TEST_CASE("a key that appears twice is refused with both lines") {
  const Read result = read("a: 1\nb: {c: 1,\n  c: 2}\na: 2\n");
  REQUIRE(result.problems.size() == 2);
  REQUIRE(
      to_string(result.problems[0]) ==
      "f.yaml:3:3: the key 'c' appears twice in one map; first on line 2\n    remove or rename one of them");
  REQUIRE_THAT(to_string(result.problems[1]),
               ContainsSubstring("f.yaml:4:1: the key 'a' appears twice in one map; first on line 1"));
  REQUIRE(result.json() == Json::parse(R"({"a":1,"b":{"c":1}})"));
  REQUIRE_THAT(problem("'1': a\n1: b\n"), ContainsSubstring("2:1 the key '1' appears twice"));
}

TEST_CASE("tags outside the core schema are refused, and those inside must fit") {
  REQUIRE_THAT(problem("a: !!python/object/apply:os.system [x]\n"),
               ContainsSubstring("1:4 unknown tag '!!python/object/apply"));
  REQUIRE_THAT(problem("a:\n  b: !secret x\n"), ContainsSubstring("2:6 unknown tag '!secret'"));
  REQUIRE_THAT(problem("a: !!int x\n"), ContainsSubstring("!!int: expected an integer, got 'x'"));
  REQUIRE_THAT(problem("a: !!bool yes\n"), ContainsSubstring("!!bool: expected true or false"));
  REQUIRE_THAT(problem("a: !!seq {b: 1}\n"), ContainsSubstring("does not fit a map"));
  REQUIRE(read("a: !!int 3\nb: !!float 3\nc: !!map {d: !!seq [1]}\n").problems.empty());
}

TEST_CASE("what is no text is refused before it is parsed, at its place") {
  using namespace std::string_literals;
  REQUIRE_THAT(problem("a: 1\nb: \0\n"s), ContainsSubstring("2:4 a NUL byte"));
  REQUIRE_THAT(problem("a: \x1b[31m\n"), ContainsSubstring("1:4 a control character"));
  REQUIRE_THAT(problem("a: \x7f\n"), ContainsSubstring("1:4 a control character"));
  REQUIRE_THAT(problem("a: é\nb: \xff\n"), ContainsSubstring("2:4 not UTF-8"));
  REQUIRE_THAT(problem("a: \xc3\xa9\xc3"), ContainsSubstring("1:6 not UTF-8"));
  REQUIRE_THAT(problem("a: \xed\xa0\x80\n"), ContainsSubstring("1:4 not UTF-8"));  // a surrogate
  REQUIRE_THAT(problem("\xff\xfe"
                       "a\0:\0"s),
               ContainsSubstring("1:4 a NUL byte"));  // UTF-16
  REQUIRE_THAT(problem("a: \"\\0\"\n"), ContainsSubstring("1:4 a text contains the NUL character"));
}

TEST_CASE("a file holds one document") {
  REQUIRE(read("---\na: 1\n...\n").problems.empty());
  REQUIRE_THAT(problem("a: 1\n---\nb: 2\n"), ContainsSubstring("a second document starts here"));
  REQUIRE(read("").root.is_null());
  REQUIRE(read("# nothing\n").problems.empty());
}

TEST_CASE("mistakes in YAML are named in plain words, with a place") {
  REQUIRE_THAT(problem("a: 1\n b: 2\n"), ContainsSubstring("2:"));
  REQUIRE_THAT(problem("a: [1, 2\nb: 3\n"), ContainsSubstring("1:4 a list is not closed"));
  REQUIRE_THAT(problem("a: {b: 1\n"), ContainsSubstring("1:4 a map is not closed"));
  REQUIRE_THAT(problem("a: \"x\n"), ContainsSubstring("1:4 a text in quotes is not closed"));
  REQUIRE_THAT(problem("a: \"\\q\"\n"), ContainsSubstring("unknown escape"));
  REQUIRE_THAT(problem("a: \"x\\N\"\n"), ContainsSubstring("1:4 the escapes \\N and \\_ cannot be read"));
  REQUIRE_THAT(problem("\"\\_\": 1\n"), ContainsSubstring("1:1 the escapes"));
  REQUIRE(read("\"\\x85\\xA0\"").root.text == "\xC2\x85\xC2\xA0");
  REQUIRE_THAT(problem("a: \"\\ud800\"\n"), ContainsSubstring("no Unicode character"));
  REQUIRE_THAT(problem("a: @x\n"), ContainsSubstring("1:4"));
  REQUIRE_THAT(problem("? [a]\n: b\n"), ContainsSubstring("1:3 a map key must be text, not a list"));
  REQUIRE_THAT(problem(": b\n"), ContainsSubstring("a map key is missing or null"));
  REQUIRE_THAT(problem("~: b\n"), ContainsSubstring("a map key is missing or null"));
}

TEST_CASE("files beyond the limits are refused") {
  const std::string most = "a: " + std::string(util::kYamlMaxBytes - 4, 'x') + "\n";
  REQUIRE(read(most).problems.empty());
  REQUIRE_THAT(problem(most + "#"), ContainsSubstring("at most 1 MiB is read"));

  REQUIRE(read(repeated("[", 64) + repeated("]", 64)).problems.empty());
  REQUIRE_THAT(problem(repeated("[", 65) + repeated("]", 65)),
               ContainsSubstring("1:65 nested deeper than 64 levels"));
  REQUIRE_THAT(problem(repeated("[", 64) + "x" + repeated("]", 64)), ContainsSubstring("1:65 nested deeper"));

  REQUIRE(read("[" + repeated("1,", util::kYamlMaxNodes - 1) + "]").problems.empty());
  REQUIRE_THAT(problem("[" + repeated("1,", util::kYamlMaxNodes) + "]"),
               ContainsSubstring("more than 100000 values"));
}

TEST_CASE("aliases cannot outgrow the limits") {
  std::string laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string n = std::to_string(i), before = "*a" + std::to_string(i - 1);
    laughs += "a" + n + ": &a" + n + " [" + before + repeated(", " + before, 8) + "]\n";
  }
  REQUIRE_THAT(problem(laughs),
               ContainsSubstring("more than 100000 values, counting those that aliases repeat"));
  REQUIRE_THAT(problem("&a [*a, *a]"), ContainsSubstring("1:5 this alias stands inside the very value"));
  REQUIRE_THAT(problem("a: &a {b: *a}"), ContainsSubstring("inside the very value"));
  REQUIRE_THAT(problem("a: &a " + repeated("[", 60) + repeated("]", 60) + "\nb: " + repeated("[", 10) + "*a" +
                       repeated("]", 10)),
               ContainsSubstring("nested deeper"));
  REQUIRE_THAT(problem("a: &a " + std::string(10'000, 'x') + "\nb: [" + repeated("*a, ", 500) + "]"),
               ContainsSubstring("aliases repeat more than 4 MiB"));
}

TEST_CASE("what is not closed is reported where it begins") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"name: \"abc\nsteps:\n  a: {run: x}\n", "1:7 a text in quotes is not closed"},
      {"name: it's\nb: 'abc\n\n# '' \\ ''\n", "2:4 a text in quotes is not closed"},
      {"a: # don't\n  - \"x\\\"\n", "2:5 a text in quotes is not closed"},
      {"a: |\n  it's \"\n  [\nb: ['x', \"y\n", "4:10 a text in quotes is not closed"},
      {"steps: {a: {run: x, inputs: [a, b}}\n", "1:29 a list is not closed"},
      {"steps:\n  a:\n    inputs: [a, b\n    outputs: c\n", "3:13 a list is not closed"},
      {"a: {b: 1\nc: 2\n", "1:4 a map is not closed"},
      {repeated("[", 5000), "1:5000 a list is not closed"},
      {"a: " + repeated("[", 50), "1:53 a list is not closed"},
      {"[1,", "1:1 a list is not closed"},
  };
  for (const auto& [text, expected] : cases) {
    INFO(text.substr(0, 100));
    REQUIRE_THAT(problem(text), ContainsSubstring(expected));
  }
  const auto hint = [](const std::string& text) { return read(text).problems.at(0).hint; };
  REQUIRE(hint("name: \"abc\nsteps: 1\n") == "the file ends on line 2 without the closing \"");
  REQUIRE(hint("a: [1\n") == "the file ends on line 1 without the closing ']'");
  REQUIRE(hint("a: {b: [1}\n") == "there is a '}' on line 1 before the closing ']'");
  REQUIRE(hint("name: \"abc\nsteps:\n  a: {run: \"x\"}\n") ==
          "a text in quotes began on line 1 and ends here: is its closing quote missing?");
}

TEST_CASE("a tab as indentation is called that") {
  for (const char* text : {"steps:\n\ta:\n\t\trun: x\n", "steps:\n\ta: {run: x}\n\tb: {run: y}\n",
                           "steps:\n  \ta:\n      run: x\n"}) {
    INFO(text);
    REQUIRE_THAT(problem(text), ContainsSubstring("a tab is used as indentation"));
    REQUIRE_THAT(problem(text), ContainsSubstring("2:"));
  }
  REQUIRE_THAT(problem("steps:\n  a:\n    run: x\n    inputs:\n    \t- y\n"),
               ContainsSubstring("5:5 a tab is used"));
  REQUIRE_THAT(problem("s:\n  a:\n    run: |\n      x\n\ty: 1\n"), ContainsSubstring("5:1 a tab is used"));
  REQUIRE(read("a: {\n\tb: 1}\nc: |\n  x\n  \ty\n").problems.empty());
}
