// Files made to break a reader: each is refused with a place, and none takes long or much memory.
#include "pipeline/loading.hpp"

using namespace mlops;

namespace {

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

// The first problem, which must have a place.
std::string first(const std::string& text) {
  const auto list = problems(text);
  INFO(text.substr(0, 200));
  REQUIRE_FALSE(list.empty());
  INFO(list[0]);
  REQUIRE(list[0][0] != '0');
  REQUIRE(list.size() <= 501);
  return list[0];
}

std::string steps_with(const std::string& keys) { return "steps:\n  s:\n    run: x\n    " + keys + "\n"; }

}  // namespace

TEST_CASE("deep nesting of every kind is refused") {
  for (const char* opening : {"[", "{a: ", "- ", "? ", "[{a: ", "- ? ", "!!seq [", "&a [", "{? "}) {
    for (const int times : {65, 500, 5'000, 100'000}) {
      INFO(opening << " x " << times);
      REQUIRE_THAT(first(repeated(opening, times)), ContainsSubstring("nested") ||
                                                        ContainsSubstring("map key") ||
                                                        ContainsSubstring("is not closed"));
    }
  }
  std::string block;
  for (int i = 0; i < 1'000; ++i) block += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  REQUIRE_THAT(first(block), ContainsSubstring("65:65 nested deeper than 64 levels"));
  REQUIRE_THAT(first(steps_with("foreach: " + repeated("[", 62) + repeated("]", 62))),
               ContainsSubstring("nested deeper"));
}

TEST_CASE("a few bytes that stand for very much are refused") {
  std::string laughs = "params:\n  a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "  a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before +
              repeated(", " + before, 8) + "]\n";
  }
  REQUIRE_THAT(first(laughs + "steps: {s: {run: x}}"), ContainsSubstring("more than 100000 values"));
  REQUIRE_THAT(first("&a [*a, *a]"), ContainsSubstring("1:5 this alias stands inside the very value"));
  REQUIRE_THAT(first("params: &p {x: *p}\nsteps: {s: {run: x}}"), ContainsSubstring("1:16 this alias"));
  REQUIRE_THAT(first("params: &p {<<: *p}\nsteps: {s: {run: x}}"), ContainsSubstring("1:17 this alias"));
  std::string matrix = "matrix: {l0: &l [" + repeated("1, ", 99) + "1]";
  for (int i = 1; i < 30; ++i) matrix += ", l" + std::to_string(i) + ": *l";
  REQUIRE_THAT(first(steps_with(matrix + "}")), ContainsSubstring("more than 100000 combinations"));
  std::string many = "params: {l: [" + repeated("1,", 40'000) + "]}\nsteps:\n";
  for (const char* name : {"a", "b", "c"})
    many += "  " + std::string(name) + ": {run: x, foreach: '${params.l}'}\n";
  REQUIRE_THAT(first(many), ContainsSubstring("stands for more than 100000 steps"));
}

TEST_CASE("large files are refused or read at once") {
  const auto list =
      problems("steps: {s: {run: x}}\nparams: [" + repeated("1234567890123, ", 1'000'000) + "]");
  REQUIRE(list.size() == 1);
  REQUIRE_THAT(list[0], ContainsSubstring("at most 1 MiB is read"));
  REQUIRE_THAT(first("params: [" + repeated("1,", 200'000) + "]"),
               ContainsSubstring("more than 100000 values"));

  std::string keys = "steps: {s: {run: x}}\nparams:\n";
  for (int i = 0; i < 30'000; ++i) keys += "  k" + std::to_string(i) + ": 1\n";
  REQUIRE(load(keys).params.size() == 30'000);
  REQUIRE_THAT(first(keys + "  k29999: 2\n"),
               ContainsSubstring("30002:3 the key 'k29999' appears twice in one map; first on line 30001") ||
                   ContainsSubstring("the key 'k29999' appears twice"));
  std::string unknown = "steps:\n  s: {run: x}\n";
  for (int i = 0; i < 30'000; ++i) unknown += "k" + std::to_string(i) + ": 1\n";
  REQUIRE_THAT(first(unknown), ContainsSubstring("unknown key 'k0'"));
  std::string references = "steps:\n  s:\n    run: [x";
  for (int i = 0; i < 30'000; ++i) references += ", '${params.x}'";
  REQUIRE_THAT(first(references + "]\n"), ContainsSubstring("'params.x' is not set"));
  REQUIRE_THAT(first("steps:\n  s:\n    run: '" + repeated("${params.x} ", 50'000) + "'\n"),
               ContainsSubstring("'params.x' is not set"));
  REQUIRE_THAT(first("steps:\n  s:\n    run: '\"" + repeated("${params.x} ", 50'000) + "\"'\n"),
               ContainsSubstring("stands inside quotes"));
  REQUIRE_THAT(first(steps_with("needs: x\n    description: \"" + repeated("${", 200'000) + "\"")),
               ContainsSubstring("4:"));
  REQUIRE_THAT(first(steps_with("when: " + repeated("(", 3'000))),
               ContainsSubstring("nested deeper than 64"));
  REQUIRE_THAT(first(steps_with("needs: [" + repeated("nope, ", 30'000) + "]")),
               ContainsSubstring("no step 'nope'"));
}

TEST_CASE("many slips in a large file take no long search for what was meant") {
  std::string params = "params:\n";
  for (int i = 0; i < 1'900; ++i) params += "  parameter" + std::to_string(i) + ": 1\n";
  std::string text = params + "steps:\n";
  for (int i = 0; i < 10'000; ++i)
    text += "  s" + std::to_string(i) + ": {run: x, when: params.paramete" + std::to_string(i) + "x}\n";
  REQUIRE_THAT(first(text), ContainsSubstring("did you mean 'params.parameter0'?"));
  text = params + "steps:\n  s:\n    run: [x";
  for (int i = 0; i < 20'000; ++i) text += ", '${params.paramete" + std::to_string(i) + "x}'";
  REQUIRE_THAT(first(text + "]\n"), ContainsSubstring("did you mean 'params.parameter0'?"));
  text = params + "steps:\n  s:\n    run: x";
  for (int i = 0; i < 20'000; ++i) text += " ${params.paramete" + std::to_string(i) + "x}";
  REQUIRE_THAT(first(text), ContainsSubstring("did you mean 'params.parameter"));
  text = "steps:\n";
  for (int i = 0; i < 15'000; ++i)
    text += "  step" + std::to_string(i) + ": {run: x, needs: stpe" + std::to_string(i) + "}\n";
  REQUIRE_THAT(first(text), ContainsSubstring("no step 'stpe0'"));
}

TEST_CASE("steps that wait in too many ways are refused") {
  std::string text = "steps:\n";
  for (int i = 0; i < 1'500; ++i) text += "  a" + std::to_string(i) + ": {run: x}\n";
  text += "  many: {run: x, foreach: [" + repeated("1, ", 1'500) + "], needs: [";
  for (int i = 0; i < 1'500; ++i) text += "a" + std::to_string(i) + ", ";
  const auto list = problems(text + "]}\n");
  REQUIRE(list.size() == 1);
  REQUIRE_THAT(list[0], ContainsSubstring("more than 2,000,000 ways"));
}

TEST_CASE("silent surprises of YAML are errors with a place") {
  using namespace std::string_literals;
  REQUIRE_THAT(first("steps: {s: {run: x}}\nsteps: {t: {run: y}}\n"),
               ContainsSubstring("2:1 the key 'steps' appears twice in one map; first on line 1"));
  REQUIRE_THAT(first(steps_with("retry: 010")), ContainsSubstring("4:12 retry: expected a whole number"));
  REQUIRE_THAT(first(steps_with("always: yes")), ContainsSubstring("4:13 always: expected true or false"));
  REQUIRE_THAT(first(steps_with("retry: 1_000")), ContainsSubstring("4:12 retry"));
  REQUIRE_THAT(first(steps_with("timeout: 12:30")), ContainsSubstring("4:14 timeout"));
  REQUIRE_THAT(first("steps: {s: {run: !!python/object/apply:os.system [reboot]}}"),
               ContainsSubstring("1:18 unknown tag '!!python/object/apply:os.system'"));
  REQUIRE_THAT(first("steps: {s: {run: x}}\n---\nsteps: {}\n"), ContainsSubstring("a second document"));
  REQUIRE_THAT(first("steps: {s: {run: \"x\0\"}}"s), ContainsSubstring("1:20 a NUL byte"));
  REQUIRE_THAT(first("steps: {s: {run: \"x\\0\"}}"),
               ContainsSubstring("1:18 a text contains the NUL character"));
  REQUIRE_THAT(first("steps: {s: {run: x\xff}}"), ContainsSubstring("1:19 not UTF-8"));
  REQUIRE_THAT(first("steps: {s: {run: x\x1b[2J}}"), ContainsSubstring("1:19 a control character"));
  REQUIRE_THAT(first("steps:\n\ts: {run: x}\n"), ContainsSubstring("2:"));
  REQUIRE(load("defaults: &d {timeout: 1m}\nsteps: {s: {<<: *d, run: x}}").steps[0].timeout ==
          Milliseconds(60'000));
}
