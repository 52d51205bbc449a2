#include "dvc/yaml_writer.hpp"

#include "catch.hpp"
#include "pipeline/dvc/value.hpp"

using namespace mlops;
using dvc::write_yaml;

namespace {

std::string line(const OrderedJson& value) { return write_yaml(OrderedJson{{"k", value}}); }

}  // namespace

// All expected texts were written by ruamel.yaml 0.18 as DVC 3 uses it.
TEST_CASE("scalars are quoted as DVC's library quotes them") {
  CHECK(line("x y") == "k: x y\n");
  CHECK(line("") == "k: ''\n");
  CHECK(line("- x") == "k: '- x'\n");
  CHECK(line("a: b") == "k: 'a: b'\n");
  CHECK(line("a #b") == "k: 'a #b'\n");
  CHECK(line("'q'") == "k: \"'q'\"\n");
  CHECK(line("\"q\"") == "k: '\"q\"'\n");
  CHECK(line("1e5") == "k: '1e5'\n");
  CHECK(line("1_000") == "k: '1_000'\n");
  CHECK(line("2021-01-01") == "k: '2021-01-01'\n");
  CHECK(line("yes") == "k: yes\n");
  CHECK(line("1:30") == "k: 1:30\n");
  CHECK(line("=") == "k: '='\n");
  CHECK(line("<<") == "k: '<<'\n");
  CHECK(line("--x") == "k: --x\n");
  CHECK(line("?") == "k: '?'\n");
  CHECK(line("a'b c") == "k: a'b c\n");
  CHECK(line("echo 'a' && echo \"b\"\\n") == "k: echo 'a' && echo \"b\"\\n\n");
  CHECK(line("a\tb") == "k: \"a\\tb\"\n");
  CHECK(line("a\nb\n") == "k: \"a\\nb\\n\"\n");
  CHECK(line("é 日本") == "k: é 日本\n");
  CHECK(line("\abell") == "k: \"\\abell\"\n");
  CHECK(line("trail ") == "k: 'trail '\n");
}

TEST_CASE("numbers, null and empty collections") {
  CHECK(line(1.0) == "k: 1.0\n");
  CHECK(line(1e-5) == "k: 1e-05\n");
  CHECK(line(1e16) == "k: 1e+16\n");
  CHECK(line(123456789012345680.0) == "k: 1.2345678901234568e+17\n");
  CHECK(line(1e15) == "k: 1000000000000000.0\n");
  CHECK(line(-0.0) == "k: -0.0\n");
  CHECK(line(5e-324) == "k: 5e-324\n");
  CHECK(line(nullptr) == "k:\n");
  CHECK(line(true) == "k: true\n");
  CHECK(line(OrderedJson::object()) == "k: {}\n");
  CHECK(line(OrderedJson::array()) == "k: []\n");
}

TEST_CASE("long texts are wrapped where DVC's library wraps them") {
  std::string words = "python train.py ";
  for (int i = 0; i < 15; ++i) words += "--arg value ";
  CHECK(write_yaml({{"cmd", words}}) ==
        "cmd: 'python train.py --arg value --arg value --arg value --arg value --arg value\n"
        "  --arg value --arg value --arg value --arg value --arg value --arg value --arg value\n"
        "  --arg value --arg value --arg value '\n");
  CHECK(write_yaml({{"a", {std::string(100, 'x') + " " + std::string(30, 'y')}}}) ==
        "a:\n- " + std::string(100, 'x') + "\n  " + std::string(30, 'y') + "\n");
  std::string lines = "python a.py\npython b.py ";
  for (int i = 0; i < 20; ++i) lines += "word ";
  CHECK(write_yaml({{"multi", lines + "\nend"}}) ==
        "multi: \"python a.py\\npython b.py word word word word word word word word word word\n"
        "  word word word word word word word word word word \\nend\"\n");
}

TEST_CASE("collections nest as DVC's library nests them") {
  const OrderedJson value = OrderedJson::parse(
      R"({"nest": [[1, 2], [{"a": 1}], {"b": [1]}], "m": {"cmd": ["echo a"], "deps": [{"path": "x", "size": 1}]}})");
  CHECK(write_yaml(value) ==
        "nest:\n- - 1\n  - 2\n- - a: 1\n- b:\n  - 1\nm:\n  cmd:\n  - echo a\n  deps:\n  - path: x\n    size: "
        "1\n");
  CHECK(dvc::write_yaml_entry("s", {{"cmd", "x"}}, 2) == "  s:\n    cmd: x\n");
}

TEST_CASE("keys that are no text stay what they were") {
  std::vector<Diagnostic> problems;
  const OrderedJson value =
      pipeline::dvc::to_value(util::parse_yaml("{0: a, '1': b, true: c}", "f", problems));
  CHECK(write_yaml(value) == "0: a\n'1': b\ntrue: c\n");
}
