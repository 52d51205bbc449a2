// What `triggers:` may hold, what is refused and in which words, and which files patterns mean.
#include "pipeline/file_patterns.hpp"
#include "pipeline/loading.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <filesystem>
#include <set>

using namespace mlops;
using Kind = Trigger::Kind;

namespace {

std::string file(const std::string& triggers, const std::string& head = "") {
  return head + "name: p\ntriggers:\n" + triggers + "steps: {a: {run: x, outputs: [out/model.bin]}}\n";
}

}  // namespace

TEST_CASE("triggers are read with their usual values") {
  const Pipeline p = load(file(R"(  - files: [data/*.csv, "!data/tmp.csv"]
  - {succeeded: [ingest, features]}
  - {succeeded: {any: [x, y]}, name: one of two}
  - {webhook: {secret: HOOK}}
  - {http: "https://example.com/a.csv", every: 90s}
  - {sql: {database: app.db, query: SELECT 1}}
  - {metric: {pipeline: monitor, when: drift.psi > 0.2}}
)",
                               "secrets: [HOOK]\n"));
  REQUIRE(p.triggers.size() == 7);
  const auto& t = p.triggers;
  REQUIRE((t[0].kind == Kind::files && t[0].name == "data/*.csv" && t[0].debounce.count() == 2'000));
  REQUIRE((t[1].kind == Kind::succeeded && t[1].name == "ingest and features" && !t[1].any));
  REQUIRE((t[2].any && t[2].pipelines == std::vector<std::string>{"x", "y"} && t[2].name == "one of two"));
  REQUIRE((t[3].kind == Kind::webhook && t[3].secret == "HOOK" && t[3].name == "p"));
  REQUIRE((t[4].kind == Kind::http && t[4].name == "example.com/a.csv" && t[4].every.count() == 90'000));
  REQUIRE((t[5].kind == Kind::sql && t[5].query == "SELECT 1" && t[5].every.count() == 60'000));
  REQUIRE(
      (t[6].kind == Kind::metric && t[6].pipelines[0] == "monitor" && t[6].condition == "drift.psi > 0.2"));
  REQUIRE(load(file("  files: data\n")).triggers.size() == 1);
  REQUIRE(load(file("  webhook: HOOK\n", "secrets: [HOOK]\n")).triggers[0].secret == "HOOK");
}

TEST_CASE("all that is wrong with triggers is told, with its place") {
  const auto list = problems(file(R"(  - {}
  - {files: a, http: "https://x"}
  - {file: a}
  - {files: ["!a"]}
  - {succeeded: p}
  - {succeeded: {any: a, all: b}}
  - {webhook: HOK}
  - {http: ftp://x}
  - {sql: {query: SELECT 1}}
  - {metric: {pipeline: m, when: "drift >"}}
  - {metric: {pipeline: m, when: "1 > 2"}}
  - {files: a, every: 10ms}
  - {succeeded: a, every: 1m}
  - {files: b, name: x}
  - {files: c, name: x}
  - {webhook: HOOK, name: "a b"}
)",
                                  "secrets: [HOOK]\n"));
  for (const std::string& one : list) UNSCOPED_INFO(one);
  REQUIRE(list.size() == 16);
  const auto begins = [&](std::size_t i, const std::string& text) {
    INFO(text);
    REQUIRE(list[i].starts_with(text));
  };
  begins(0, "4:5 trigger: says nothing to look at | one of files, succeeded, webhook");
  begins(1, "5:5 trigger: 'files' and 'http' are triggers of their own | make a list of them");
  begins(2, "6:5 trigger: says nothing to look at");
  begins(3, "6:6 unknown key 'file' in trigger | did you mean 'files'?");
  begins(4, "7:13 files: nothing is looked at yet from which '!a' could be taken out");
  begins(5, "8:17 succeeded: 'p' is this pipeline: it would start itself for ever");
  begins(6, "9:17 succeeded: expected one of 'all' and 'any'");
  begins(7, "10:15 webhook: 'HOK' is not declared in `secrets:` | did you mean 'HOOK'?");
  begins(8, "11:12 http: expected a URL");
  begins(9, "12:11 sql: 'database' is missing");
  begins(10, "13:34 metric: expected a value or a name, but the condition ends here");
  begins(11, "14:34 metric: ");
  begins(12, "15:23 every: expected at least 1");
  begins(13, "16:27 trigger: 'every' means nothing here");
  begins(14, "18:5 triggers: two entries are called 'x'");
  begins(15, "19:27 name: ");
}

TEST_CASE("a trigger on a URL needs one") {
  const std::string hint = " | such as http: https://example.com/data.csv";
  REQUIRE(problem(file("  http: [\"https://x\"]\n")) == "3:9 http: expected a URL, got a list" + hint);
  REQUIRE(problem(file("  http: \"\"\n")) == "3:9 http: expected a URL, got ''" + hint);
  REQUIRE(problem(file("  http: https://\n")) == "3:9 http: expected a URL, got 'https://'" + hint);
}

TEST_CASE("a URL to look at may be a secret, and is none of the environment") {
  const Pipeline p = load(file("  http: {secret: FEED}\n", "secrets: [FEED]\n"));
  REQUIRE((p.triggers[0].secret == "FEED" && p.triggers[0].url.empty() && p.triggers[0].name == "FEED"));
  REQUIRE(
      problem(file("  http: {secret: FEED}\n"))
          .starts_with("3:18 http: 'FEED' is not declared in `secrets:` | such as http: {secret: FEED_URL}"));
  REQUIRE(problem(file("  http: {}\n")).starts_with("3:9 http: 'secret' is missing"));
  REQUIRE(problem(file("  http: \"https://x.org/?k=${env.HOME}\"\n"))
              .starts_with("3:9 http: what comes from the environment is a secret"));
}

TEST_CASE("a URL to look at holds no password") {
  const std::string wrong = "3:9 http: a password does not belong into the file | ";
  REQUIRE(problem(file("  http: https://me:pw@example.com/a.csv\n")).starts_with(wrong));
  REQUIRE(problem(file("  http: https://token@example.com/a.csv\n")).starts_with(wrong));
  REQUIRE(problems(file("  http: https://example.com/a@b.csv\n")).empty());
}

TEST_CASE("a webhook needs the name of a secret") {
  const std::string wrong = "webhook: expected the name of a secret, got '' | such as webhook: {secret: ";
  REQUIRE(problem(file("  webhook: \"\"\n")).starts_with("3:12 " + wrong));
  REQUIRE(problem(file("  webhook: {secret: \"\"}\n")).starts_with("3:21 " + wrong));
}

TEST_CASE("a trigger has to look at something") {
  REQUIRE(problem(file("  files: []\n")).starts_with("3:10 files: the list is empty | such as files: ["));
  const std::string none = "succeeded: the list is empty | such as succeeded: [ingest, features]";
  REQUIRE(problem(file("  succeeded: []\n")) == "3:14 " + none);
  REQUIRE(problem(file("  succeeded: {any: []}\n")) == "3:20 " + none);
  REQUIRE(problem(file("  files: \"[a\"\n")).starts_with("3:10 files: a '[' in '[a' has no ']' | close it"));
}

TEST_CASE("a bracket of a pattern is closed in its part of the path") {
  for (const char* text : {"[a", "data/[a/b]", "x[]", "x[!]", "[[:digit:]", "[a\\]"})
    REQUIRE(pipeline::has_open_bracket(text));
  for (const char* text : {"a", "[a]", "data/[!a-z]*/b", "[]]", "[[:digit:]]", "\\[a", "a]"})
    REQUIRE(!pipeline::has_open_bracket(text));
}

TEST_CASE("a pipeline must not be triggered by what it makes") {
  REQUIRE(problem(file("  - {files: [out]}\n")) ==
          "3:13 files: step 'a' makes 'out/model.bin', which the trigger looks at: the pipeline would start "
          "itself | take it out: files: [out, \"!out/model.bin\"]");
  REQUIRE(problems(file("  - {files: [out, \"!out/model.bin\"]}\n")).empty());
  REQUIRE(problems(file("  - {files: [\"out/*.csv\"]}\n")).empty());
}

TEST_CASE("patterns mean files, folders with all in them, and what an exclamation mark leaves") {
  TempDir dir;
  const std::string odd = dir.path() + "/a[b]*";  // a name that is a pattern itself
  for (const char* path :
       {"data/1.csv", "data/2.txt", "data/deep/3.csv", "conf/x/y", "top.csv", ".git/z.csv"}) {
    std::filesystem::create_directories(std::filesystem::path(odd + "/" + path).parent_path());
    util::write_file(odd + "/" + path, "");
  }
  const auto found = [&](const std::vector<std::string>& patterns) {
    std::string text;
    for (const std::string& path : pipeline::FilePatterns(patterns, odd).find())
      text += path.substr(odd.size() + 1) + " ";
    return text;
  };
  REQUIRE(found({"data/*.csv"}) == "data/1.csv ");
  REQUIRE(found({"*.csv"}) == "top.csv ");
  REQUIRE(found({"**/*.csv"}) == "data/1.csv data/deep/3.csv top.csv ");
  REQUIRE(found({"data", "!data/deep"}) == "data/1.csv data/2.txt ");
  REQUIRE(found({"conf", "top.csv", "gone.csv"}) == "conf/x/y top.csv ");
  REQUIRE(found({"data/deep/../?.csv"}) == "data/1.csv ");
  std::set<std::string> folders;
  pipeline::FilePatterns({"new/sub/*.csv", "data/*.csv"}, odd).find([&](const std::string& f) {
    folders.insert(f);
  });
  REQUIRE(folders == std::set<std::string>{odd, odd + "/data"});  // not what no pattern leads into
  const pipeline::FilePatterns later({"new/sub/*.csv"}, odd);
  REQUIRE(
      (later.lead_into(odd + "/new") && later.lead_into(odd + "/new/sub") && !later.lead_into(odd + "/old")));
  REQUIRE((later.mean(odd + "/new/sub/1.csv") && !later.mean(odd + "/new/sub/x/1.csv")));
}
