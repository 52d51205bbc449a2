#include "params/condition.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "params/names.hpp"

#include <cmath>
#include <cstdlib>

using namespace mlops;
using namespace mlops::params;
using Root = ConditionName::Root;

namespace {

const Json kParams =
    Json::parse(R"({"n": 3, "lr": 0.1, "yes": true, "no": false, "none": null, "text": "abc", "digits": "10",
  "list": [1, "b", 0.5], "a-b": 1, "nested": {"x": 2}})");
const Json kVars = Json::parse(R"({"matrix": {"lr": 0.5, "m": "rf"}})");

const StepNames& steps() {
  static const StepNames names = [] {
    StepNames n;
    for (const char* name : {"ingest", "train.v2", "train"}) n.add(name, name);
    for (const char* name : {"fit@lr=0.1", "fit@lr=0.2"}) n.add(name, "fit");
    return n;
  }();
  return names;
}

ConditionScope scope() { return {&kParams, &kVars, &steps()}; }

// What steps of a run have made.
Json lookup(const ConditionName& name) {
  if (name.root == Root::state) return "succeeded";
  if (name.root == Root::exit_code) return 0;
  if (name.root == Root::metric)
    return name.path == "nan" ? Json(NAN) : name.path == "acc" ? Json(0.87) : Json();
  if (name.root == Root::output)
    return name.path == "rows"   ? Json(" 100\n")
           : name.path == "ok"   ? Json("true")
           : name.path == "text" ? Json("abc")
                                 : Json();
  return static_value(name, kParams, kVars);
}

Verdict verdict(std::string_view text) {
  std::vector<ConditionProblem> problems;
  const Condition condition = parse_condition(text, scope(), problems);
  INFO(text << (problems.empty() ? "" : ": " + problems[0].message));
  REQUIRE(problems.empty());
  return explain(condition, lookup);
}

bool holds(std::string_view text) { return verdict(text).holds; }

// "column message | hint" of the only problem.
std::string problem(std::string_view text) {
  std::vector<ConditionProblem> problems;
  parse_condition(text, scope(), problems);
  INFO(text);
  REQUIRE(problems.size() == 1);
  return std::to_string(problems[0].column) + " " + problems[0].message + " | " + problems[0].hint;
}

// What is wrong with the values, said when the file is loaded or, if they were not known then, in the run.
std::string failure(std::string_view text) {
  std::vector<ConditionProblem> problems;
  parse_condition(text, scope(), problems);
  if (problems.size() == 1) return "at load: " + problems[0].message;
  try {
    verdict(text);
  } catch (const Error& e) {
    REQUIRE(e.code() == ExitCode::usage);
    return e.what();
  }
  return "no failure";
}

}  // namespace

TEST_CASE("comparisons of numbers, texts and truth values") {
  for (const char* text : {"params.n == 3",       "params.n == 3.0",      "params.n != 4",
                           "params.n < 4",        "params.n <= 3",        "params.n > -1",
                           "params.n >= +3",      "params.n==3",          "params.lr == .1",
                           "params.lr == 1e-1",   "params.text == 'abc'", "params.text == \"abc\"",
                           "params.text < 'abd'", "params.yes == true",   "params.yes",
                           "not params.no",       "!params.no",           "true",
                           "not false",           "params.nested.x == 2", "params.a-b == 1",
                           "params.list.1 == 'b'"}) {
    INFO(text);
    REQUIRE(holds(text));
  }
  for (const char* text : {"params.n == 4", "params.n > 3", "params.n < 3", "params.text == 'ABC'",
                           "params.no", "false", "params.text > 'b'", "'a' == 1"}) {
    INFO(text);
    REQUIRE_FALSE(holds(text));
  }
}

TEST_CASE("and binds tighter than or, not tighter than and, comparisons tightest") {
  REQUIRE(holds("true or true and false"));
  REQUIRE_FALSE(holds("(true or true) and false"));
  REQUIRE(holds("not false and true"));
  REQUIRE_FALSE(holds("not (false or true)"));
  REQUIRE(holds("not params.n == 4"));
  REQUIRE(holds("false || true && !false"));
  REQUIRE(holds("not not true"));
  REQUIRE(holds("params.n > 1 and params.n < 5 and params.n != 4 or false"));
  REQUIRE(holds("(params.n == 3) == true"));
}

TEST_CASE("and and or look no further than they must") {
  REQUIRE_FALSE(holds("false and params.text < 1"));
  REQUIRE(holds("true or params.text < 1"));
}

TEST_CASE("membership in lists") {
  REQUIRE(holds("params.n in [1, 2, 3]"));
  REQUIRE(holds("params.text not in ['x', 'y']"));
  REQUIRE_FALSE(holds("params.n in []"));
  REQUIRE(holds("params.n not in []"));
  REQUIRE(holds("'b' in params.list"));
  REQUIRE(holds("matrix.lr in [0.1, 0.5] and matrix.m == 'rf'"));
  REQUIRE(holds("params.n in [params.nested.x, params.n]"));
  REQUIRE_THAT(failure("1 in params.n"), ContainsSubstring("params.n is 3, not a list"));
}

TEST_CASE("what is not there is null, false, and equal to null alone") {
  REQUIRE_FALSE(holds("params.none"));
  REQUIRE(holds("params.none == null"));
  REQUIRE(holds("params.n != null"));
  REQUIRE_FALSE(holds("params.none == 0"));
  REQUIRE_FALSE(holds("params.none == ''"));
  REQUIRE(holds("steps.train.outputs.nope == null"));
  REQUIRE_THAT(failure("steps.train.metrics.nope > 0.9"),
               ContainsSubstring("steps.train.metrics.nope > 0.9: no value and 0.9 have no order"));
}

TEST_CASE("texts that steps wrote compare as the numbers and truth values they spell") {
  REQUIRE(holds("steps.ingest.outputs.rows == 100"));
  REQUIRE(holds("steps.ingest.outputs.rows > 99.5"));
  REQUIRE(holds("steps.ingest.outputs.ok"));
  REQUIRE(holds("steps.ingest.outputs.ok == true"));
  REQUIRE_FALSE(holds("steps.ingest.outputs.text == 1"));
  REQUIRE(holds("params.digits < '9'"));  // both are texts
  REQUIRE(holds("params.digits > 9"));
  REQUIRE_THAT(failure("steps.ingest.outputs.text"),
               ContainsSubstring("steps.ingest.outputs.text is \"abc\", which is neither true nor false"));
  REQUIRE_THAT(failure("params.n"), ContainsSubstring("params.n is 3, which is neither"));
  REQUIRE_THAT(failure("params.text < 5"), ContainsSubstring("have no order"));
  REQUIRE_THAT(failure("params.list == 1 or params.list < 2"), ContainsSubstring("have no order"));
  for (const char* op : {"<", "<=", ">", ">=", "=="})
    REQUIRE_FALSE(holds("steps.train.metrics.nan " + std::string(op) + " 1"));
}

TEST_CASE("names are resolved against steps, longest name first") {
  std::vector<ConditionProblem> problems;
  const Condition c = parse_condition(
      "steps.train.state == 'succeeded' and steps.train.v2.exit_code == 0 and "
      "steps.fit@lr=0.1.metrics.acc.val>=0.1 and env.HOME != '' "
      "and steps.train.outputs.a.b == 1",
      scope(), problems);
  REQUIRE(problems.empty());
  REQUIRE(c.names().size() == 5);
  const auto is = [&](std::size_t i, Root root, const char* step, const char* path) {
    return c.names()[i].root == root && c.names()[i].step == step && c.names()[i].path == path;
  };
  REQUIRE(is(0, Root::state, "train", ""));
  REQUIRE(is(1, Root::exit_code, "train.v2", ""));
  REQUIRE(is(2, Root::metric, "fit@lr=0.1", "acc.val"));
  REQUIRE(is(3, Root::env, "", "HOME"));
  REQUIRE(is(4, Root::output, "train", "a.b"));
}

TEST_CASE("environment variables in conditions are read when they are evaluated") {
  ::setenv("MLOPS_TEST_STAGE", "prod", 1);
  REQUIRE(holds("env.MLOPS_TEST_STAGE == 'prod'"));
  ::unsetenv("MLOPS_TEST_STAGE");
  REQUIRE(holds("env.MLOPS_TEST_STAGE == null"));
}

TEST_CASE("mistakes are reported at their column, with a way out") {
  REQUIRE_THAT(problem(""), ContainsSubstring("1 expected a value or a name, but the condition ends here"));
  REQUIRE_THAT(problem("params.n ="),
               ContainsSubstring("10 expected 'and', 'or' or the end, got '=' | equality is written =="));
  REQUIRE_THAT(problem("params.n = 3"), ContainsSubstring("equality is written =="));
  REQUIRE_THAT(
      problem("${params.n} == 3"),
      ContainsSubstring("1 expected a value or a name, got '${' | in a condition names stand alone"));
  REQUIRE_THAT(problem("params.yes & params.no"),
               ContainsSubstring("12 expected 'and', 'or' or the end, got '&' | write 'and'"));
  REQUIRE_THAT(problem("params.yes | params.no"), ContainsSubstring("write 'or'"));
  REQUIRE_THAT(problem("params.yes params.no"),
               ContainsSubstring("12 expected 'and', 'or' or the end, got 'params'"));
  REQUIRE_THAT(
      problem("1 < params.n < 5"),
      ContainsSubstring("14 a comparison cannot be compared again | join two comparisons with 'and'"));
  REQUIRE_THAT(problem("(params.yes"), ContainsSubstring("12 expected ')', but the condition ends here"));
  REQUIRE_THAT(problem("params.n in 3"),
               ContainsSubstring("13 expected a list such as [a, b] after 'in', got '3'"));
  REQUIRE_THAT(problem("params.n in [1, 2"), ContainsSubstring("18 expected ',' or ']'"));
  REQUIRE_THAT(problem("params.text == 'abc"),
               ContainsSubstring("16 the text that begins with ' does not end"));
  REQUIRE_THAT(problem("params.n == 3x"), ContainsSubstring("13 not a number | put text in quotes"));
  REQUIRE_THAT(problem("params.n == 1.2.3"), ContainsSubstring("13 not a number"));
  for (const char* number : {"-", "+", "+-1", "-inf", "1e999", "0x10", "."})
    REQUIRE_THAT(problem("params.n == " + std::string(number)), ContainsSubstring("13 not a number"));
  REQUIRE_THAT(problem("and true"), ContainsSubstring("1 expected a value or a name, got 'and'"));
  REQUIRE_THAT(problem("true and"), ContainsSubstring("9 expected a value or a name"));
  REQUIRE_THAT(problem("not"), ContainsSubstring("4 expected a value or a name"));
}

TEST_CASE("unknown names are reported with the nearest that is known") {
  REQUIRE_THAT(problem("params.lrr > 0"),
               ContainsSubstring("1 'params.lrr' is not set | did you mean 'params.lr'?"));
  REQUIRE_THAT(problem("true and lr > 0"),
               ContainsSubstring("10 unknown name 'lr' | did you mean 'params.lr'?"));
  REQUIRE_THAT(problem("parms.lr > 0"), ContainsSubstring("did you mean 'params'?"));
  REQUIRE_THAT(problem("params.text == abc"),
               ContainsSubstring("16 unknown name 'abc' | put text in quotes: 'abc'"));
  REQUIRE_THAT(problem("params == 1"), ContainsSubstring("unknown name 'params' | write params.NAME"));
  REQUIRE_THAT(problem("steps.ingets.state == 'failed'"),
               ContainsSubstring("no step 'ingets' | did you mean 'ingest'?"));
  REQUIRE_THAT(problem("steps.train.stat == 'x'"),
               ContainsSubstring("names no value of a step | did you mean 'state'?"));
  REQUIRE_THAT(problem("steps.train.outputs. == 'x'"), ContainsSubstring("names no value of a step"));
  REQUIRE_THAT(problem("steps.fit.state == 'x'"), ContainsSubstring("'fit' stands for 2 steps"));
  REQUIRE_THAT(problem("item == 1"), ContainsSubstring("'item' has a value only in a step with 'foreach'"));
  REQUIRE_THAT(problem("key == 1"), ContainsSubstring("'foreach' over a map"));
  REQUIRE_THAT(problem("matrix.lrx == 1"), ContainsSubstring("did you mean 'matrix.lr'?"));
}

TEST_CASE("conditions beyond the limits are refused") {
  REQUIRE_THAT(problem(std::string(70, '(') + "true" + std::string(70, ')')),
               ContainsSubstring("nested deeper than 64 levels"));
  std::string nots;
  for (int i = 0; i < 100; ++i) nots += "not ";
  REQUIRE_THAT(problem(nots + "true"), ContainsSubstring("nested deeper than 64 levels"));
  REQUIRE_THAT(problem("params.text == '" + std::string(5000, 'x') + "'"),
               ContainsSubstring("longer than 4096"));
  std::string chain = "true";
  for (int i = 0; i < 400; ++i) chain += " and true";
  REQUIRE(holds(chain));
}

TEST_CASE("a verdict says why") {
  REQUIRE(verdict("steps.train.metrics.acc >= 0.9").why == "steps.train.metrics.acc >= 0.9 is false (0.87)");
  REQUIRE(verdict("params.yes and params.n>5 and true").why == "params.n>5 is false (3)");
  REQUIRE(verdict("params.no or params.n == 3").why == "params.n == 3 is true (3)");
  REQUIRE(verdict("params.no or params.none").why == "params.no is false and params.none is not set");
  REQUIRE(verdict("(params.n == 4) or false").why == "(params.n == 4) is false (3) and false is false");
  REQUIRE(verdict("params.n in [1, 2]").why == "params.n in [1, 2] is false (3)");
  REQUIRE(verdict("params.n not in [1, 3]").why == "params.n not in [1, 3] is false (3)");
  REQUIRE(verdict("params.n not in [1, 2]").why == "params.n not in [1, 2] is true (3)");
  REQUIRE(verdict("not params.n == 3").why == "not params.n == 3 is false (3)");
  REQUIRE(verdict("not (params.n == 4)").why == "not (params.n == 4) is true (3)");
  REQUIRE(verdict("not (params.n == 3 and params.text == 'abc')").why ==
          "not (params.n == 3 and params.text == 'abc') is false (3, \"abc\")");
  REQUIRE(verdict("not params.no").why == "not params.no is true (false)");
  REQUIRE(verdict("not false").why == "not false is true");
  REQUIRE(verdict("not not (params.n == 3)").why == "not not (params.n == 3) is true (3)");
  REQUIRE(verdict("params.n == params.nested.x").why == "params.n == params.nested.x is false (3, 2)");
}

TEST_CASE("what is known when the file is loaded is checked then") {
  REQUIRE(failure("params.n") == "at load: params.n is 3, which is neither true nor false");
  REQUIRE(failure("params.yes and not params.text") ==
          "at load: params.text is \"abc\", which is neither true nor false");
  REQUIRE(problem("params.yes and params.n") == "16 params.n is 3, which is neither true nor false | ");
  REQUIRE(failure("1") == "at load: 1 is neither true nor false");
  REQUIRE(failure("'x'") == "at load: 'x' is neither true nor false");
  REQUIRE(failure("matrix.m < 3") == "at load: matrix.m < 3: \"rf\" and 3 have no order");
  REQUIRE(failure("params.n == 4 or 1 in params.n") == "at load: params.n is 3, not a list");
  REQUIRE(failure("steps.train.outputs.ok == 1 and params.n") ==
          "at load: params.n is 3, which is neither true nor false");
  // What guards another part of the condition does so here too.
  REQUIRE_FALSE(holds("params.text == 'x' and params.n"));
  REQUIRE(holds("params.n == 3 or params.text > 1"));
  // Made by steps or found in the environment: only a run can tell.
  REQUIRE(failure("steps.ingest.outputs.text") ==
          "steps.ingest.outputs.text is \"abc\", which is neither true nor false");
  REQUIRE(failure("env.MLOPS_NO_SUCH_NAME > 1") ==
          "env.MLOPS_NO_SUCH_NAME > 1: no value and 1 have no order");
}

TEST_CASE("states that no step can have are refused") {
  for (const char* word : {"succeeded", "failed", "skipped", "not_run", "cancelled", "lost", "interrupted"}) {
    holds("steps.train.state == '" + std::string(word) + "'");
    holds("'" + std::string(word) + "' != steps.train.state");
  }
  REQUIRE(holds("steps.train.state in ['failed', 'succeeded'] and steps.train.state != null"));
  REQUIRE(problem("steps.train.state == 'success'") ==
          "22 'success' is no state of a step | did you mean 'succeeded'?");
  REQUIRE_THAT(problem("'fail' != steps.train.state"),
               ContainsSubstring("1 'fail' is no state of a step | did you"));
  REQUIRE_THAT(problem("steps.train.state not in ['failed', 'running']"),
               ContainsSubstring("37 'running' is no state of a step"));
  REQUIRE_THAT(problem("steps.train.state == 'skiped'"), ContainsSubstring("did you mean 'skipped'?"));
  REQUIRE_THAT(problem("steps.train.state == 'cached'"), ContainsSubstring("counts as 'succeeded'"));
  REQUIRE_THAT(problem("steps.train.state == 0"),
               ContainsSubstring("22 '0' is no state of a step | known: succeeded, "));
}
