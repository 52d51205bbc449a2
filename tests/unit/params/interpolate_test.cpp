#include "params/interpolate.hpp"

#include "catch.hpp"
#include "params/names.hpp"

#include <cstdlib>

using namespace mlops::params;

namespace {

const Json kParams =
    Json::parse(R"({"lr": 0.1, "name": "a b", "n": 3, "flag": true, "none": null, "empty": "",
  "train": {"epochs": 5, "layers": [64, 32]}, "models": ["m1", {"k": 1}], "evil": "${params.n}$(reboot)'"})");

StepNames some_steps() {
  StepNames names;
  for (const char* name : {"ingest", "train.v2"}) names.add(name, name);
  for (const char* name : {"fit@a", "fit@b"}) names.add(name, "fit");
  return names;
}

Interpolated fill(std::string_view text, Target target, const Json& vars = nullptr) {
  static const StepNames names = some_steps();
  const Scope scope{&kParams, &vars, "churn", &names};
  return interpolate(text, scope, target);
}

std::string text(std::string_view text, const Json& vars = nullptr) {
  const Interpolated result = fill(text, Target::text, vars);
  INFO(text << (result.problems.empty() ? "" : ": " + result.problems[0].message));
  REQUIRE(result.problems.empty());
  REQUIRE(result.pieces.size() == 1);
  return result.pieces[0].literal;
}

std::string shell(std::string_view text, const Json& vars = nullptr) {
  const Interpolated result = fill(text, Target::shell, vars);
  INFO(text << (result.problems.empty() ? "" : ": " + result.problems[0].message));
  REQUIRE(result.problems.empty());
  REQUIRE(result.pieces.size() == 1);
  return result.pieces[0].literal;
}

// "message | hint" of the only problem.
std::string problem(std::string_view text, Target target = Target::text, const Json& vars = nullptr) {
  const Interpolated result = fill(text, target, vars);
  INFO(text);
  REQUIRE(result.problems.size() == 1);
  return result.problems[0].message + " | " + result.problems[0].hint;
}

}  // namespace

TEST_CASE("references become the text of their value") {
  REQUIRE(text("plain $HOME {x}") == "plain $HOME {x}");
  REQUIRE(text("") == "");
  REQUIRE(text("lr=${params.lr} n=${params.n} ${params.flag}${params.empty}.") == "lr=0.1 n=3 true.");
  REQUIRE(text("${params.train}") == R"({"epochs":5,"layers":[64,32]})");
  REQUIRE(text("${params.train.layers.1} ${params.models.1.k}") == "32 1");
  REQUIRE(text("${pipeline.name}") == "churn");
  REQUIRE(text("a ${matrix.lr} b", {{"matrix", {{"lr", 0.5}}}}) == "a 0.5 b");
  REQUIRE(text("${item} ${key}", {{"item", "x y"}, {"key", "k"}}) == "x y k");
  REQUIRE(text("${item.a.0}", {{"item", {{"a", {7}}}}}) == "7");
}

TEST_CASE("a value that was put in is not read again") {
  REQUIRE(text("${params.evil}") == "${params.n}$(reboot)'");
  REQUIRE(shell("echo ${params.evil}") == "echo '${params.n}$(reboot)'\\'''");
}

TEST_CASE("two dollars make a reference plain text") {
  REQUIRE(text("$${params.n} $$x $") == "${params.n} $$x $");
  REQUIRE(text("$$${params.n}") == "$${params.n}");
  REQUIRE(text("${params.n}$${params.n}${params.n}") == "3${params.n}3");
  REQUIRE(shell("echo '$${params.n}' ${params.n}") == "echo '${params.n}' 3");
}

TEST_CASE("environment variables may have a default") {
  ::setenv("MLOPS_TEST_SET", "here", 1);
  ::setenv("MLOPS_TEST_EMPTY", "", 1);
  ::setenv("MLOPS_TEST_BAD", "\xff", 1);
  ::unsetenv("MLOPS_TEST_NONE");
  REQUIRE(text("${env.MLOPS_TEST_SET} ${env.MLOPS_TEST_SET:-x}") == "here here");
  REQUIRE(text("[${env.MLOPS_TEST_EMPTY}] ${env.MLOPS_TEST_EMPTY:-x}") == "[] x");
  REQUIRE(text("${env.MLOPS_TEST_NONE:-a b} ${env.MLOPS_TEST_NONE:-}.") == "a b .");
  REQUIRE_THAT(
      problem("${env.MLOPS_TEST_NONE}"),
      ContainsSubstring(
          "MLOPS_TEST_NONE is not set | set it, or give a default: ${env.MLOPS_TEST_NONE:-default}"));
  REQUIRE_THAT(problem("${env.MLOPS_TEST_BAD}"), ContainsSubstring("not UTF-8"));
  REQUIRE_THAT(problem("${env.a-b}"), ContainsSubstring("is not the name of an environment variable"));
}

TEST_CASE("what a step makes stays open") {
  const auto result =
      fill("x ${steps.ingest.outputs.rows} ${params.n} ${steps.train.v2.outputs.best.id}", Target::text);
  REQUIRE(result.problems.empty());
  REQUIRE(result.pieces ==
          std::vector<Piece>{
              {"x ", "", ""}, {"", "ingest", "rows"}, {" 3 ", "", ""}, {"", "train.v2", "best.id"}});
  REQUIRE(fill("${steps.fit@a.outputs.k}", Target::shell).pieces == std::vector<Piece>{{"", "fit@a", "k"}});
  REQUIRE_THAT(problem("${steps.ingets.outputs.rows}"),
               ContainsSubstring("no step 'ingets' | did you mean 'ingest'?"));
  REQUIRE_THAT(problem("${steps.ingest.rows}"),
               ContainsSubstring("expected steps.ingest.outputs.KEY | KEY is a name that the step writes to "
                                 "the file $MLOPS_OUTPUT"));
  REQUIRE_THAT(problem("${steps.fit.outputs.k}"), ContainsSubstring("'fit' stands for 2 steps"));
  REQUIRE_THAT(problem("${steps.ingest.outputs.a b}"),
               ContainsSubstring("'a b' is not the name of an output"));
  const Scope closed{&kParams, nullptr, "churn", nullptr};
  REQUIRE_THAT(interpolate("${steps.ingest.outputs.x}", closed, Target::text).problems.at(0).message,
               ContainsSubstring("not known when the file is loaded"));
}

TEST_CASE("a reference that does not work is explained") {
  REQUIRE_THAT(problem("${params.lrr}"),
               ContainsSubstring("'params.lrr' is not set | did you mean 'params.lr'?"));
  REQUIRE_THAT(problem("${params.train.layers.7}"),
               ContainsSubstring("'params.train.layers.7' is not set | params.train.layers is a list of 2"));
  REQUIRE_THAT(problem("${params.none}"), ContainsSubstring("'params.none' is null"));
  REQUIRE_THAT(problem("${params.}"), ContainsSubstring("is not set"));
  REQUIRE_THAT(problem("${lr}"),
               ContainsSubstring("unknown reference '${lr}' | did you mean '${params.lr}'?"));
  REQUIRE_THAT(problem("${parms.lr}"), ContainsSubstring("did you mean '${params.lr}'?"));
  REQUIRE_THAT(problem("${params}"), ContainsSubstring("unknown reference '${params}' | known: params.…"));
  REQUIRE_THAT(problem("${}"), ContainsSubstring("unknown reference '${}' | known: params.…"));
  REQUIRE_THAT(problem("${pipeline.nam}"), ContainsSubstring("did you mean 'pipeline.name'?"));
  REQUIRE_THAT(problem("${matrix.lr}"), ContainsSubstring("only in a step with 'matrix'"));
  REQUIRE_THAT(problem("${item}"), ContainsSubstring("only in a step with 'foreach'"));
  REQUIRE_THAT(problem("${key}", Target::text, {{"item", 1}}), ContainsSubstring("'foreach' is a map"));
  REQUIRE_THAT(problem("a ${params.lr"),
               ContainsSubstring("'${' without its '}' | write $${ for the text itself"));
  const auto twice = fill("${params.x} ${params.n} ${params.x}", Target::text);
  REQUIRE(twice.problems.size() == 2);
  REQUIRE(twice.problems[1].occurrence == 1);
  REQUIRE(twice.problems[1].reference == "${params.x}");
}

TEST_CASE("in a script a value becomes one word") {
  REQUIRE(shell("python x.py --lr ${params.lr} ${params.name}") == "python x.py --lr 0.1 'a b'");
  REQUIRE(shell("x ${params.empty} --name=${params.name}") == "x '' --name='a b'");
  REQUIRE(shell("x \"$HOME\"${params.name}'y'") == "x \"$HOME\"'a b''y'");
  REQUIRE(shell("echo ${params.n}>f ${params.n}<g ${params.n}${params.n}") == "echo 3''>f 3''<g 33");
  REQUIRE(shell("${params.n}2>f") == "3''2>f");
  REQUIRE(shell("x $(cat ${params.name})") == "x $(cat 'a b')");
  for (const char* word : {"if", "done", "A=b", "time"})
    REQUIRE(shell("${item}", {{"item", word}}) == "'" + std::string(word) + "'");
}

TEST_CASE("the shell's own expansions are left to it") {
  for (const char* script :
       {"echo ${HOME} ${x:-y} ${#x} ${x%.*} \"${x}\" ${1} ${key} ${item} ${params} $$ ${x:-${y}}",
        "echo \\${params.n}", "echo ${HOME", "# ${HOME}", "awk '{print ${a.b}}'"}) {
    REQUIRE(shell(script) == script);
  }
  REQUIRE(shell("echo ${key}=${item} ${HOME}", {{"item", 1}, {"key", "k"}}) == "echo k=1 ${HOME}");
  REQUIRE_THAT(problem("echo ${prams.lr}", Target::shell), ContainsSubstring("did you mean '${params.lr}'?"));
  REQUIRE_THAT(problem("echo \"${prams.lr}\"", Target::shell),
               ContainsSubstring("did you mean '${params.lr}'?"));
}

TEST_CASE("a place where no word can stand is refused, and the way out is shown") {
  REQUIRE_THAT(problem("x \"lr ${params.lr}\"", Target::shell),
               ContainsSubstring("${params.lr} stands inside quotes") &&
                   ContainsSubstring("env: {LR: \"${params.lr}\"}") && ContainsSubstring("\"$LR\""));
  REQUIRE_THAT(problem("x '${params.lr}'", Target::shell), ContainsSubstring("'text '${params.lr}' text'"));
  REQUIRE_THAT(problem("x # ${params.lr}", Target::shell), ContainsSubstring("stands in a comment"));
  REQUIRE_THAT(problem("cat <<E\n${params.lr}\nE", Target::shell), ContainsSubstring("here-document"));
  REQUIRE_THAT(problem("cat <<'E'\n${params.lr}\nE", Target::shell),
               ContainsSubstring("with an unquoted end word"));
  REQUIRE_THAT(problem("x `cat ${params.lr}`", Target::shell),
               ContainsSubstring("stands in backticks | write $(…)"));
  REQUIRE_THAT(problem("x $((1 + ${params.n}))", Target::shell),
               ContainsSubstring("inside an expansion of the shell"));
  REQUIRE_THAT(problem("x ${y:-${params.n}}", Target::shell),
               ContainsSubstring("inside an expansion of the shell"));
  REQUIRE_THAT(problem("x $(case a in a) echo ${params.n};; esac)", Target::shell),
               ContainsSubstring("cannot tell how the shell quotes"));
  REQUIRE_THAT(problem("x \"${params.train.layers.0}\"", Target::shell), ContainsSubstring("env: {X0: "));
}

TEST_CASE("a text that is one reference has the value itself") {
  const Json vars = {{"item", {1, 2}}};
  const Scope scope{&kParams, &vars, "churn", nullptr};
  REQUIRE(referenced_value("${params.models}", scope) == kParams["models"]);
  REQUIRE(referenced_value(" ${params.lr} ", scope) == Json(0.1));
  REQUIRE(referenced_value("${item}", scope) == Json({1, 2}));
  for (const char* text : {"${params.lr}x", "x${params.lr}", "${params.lr}${params.n}", "params.lr",
                           "${params.no}", "$${params.lr}", ""})
    REQUIRE_FALSE(referenced_value(text, scope));
}
