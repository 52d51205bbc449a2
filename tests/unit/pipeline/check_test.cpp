#include "pipeline/loading.hpp"
#include "pipeline/paths.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

using namespace mlops;
using pipeline::lies_in;
using pipeline::normal_path;

namespace {

// As problem(), with inputs looked for in `directory`.
std::vector<std::string> checked(const std::string& text, const std::string& directory) {
  std::vector<std::string> list;
  try {
    parse_pipeline(text, directory + "/p.yaml", {});
  } catch (const BadFile& e) {
    for (const Diagnostic& d : e.problems())
      list.push_back(std::to_string(d.at.line) + ":" + std::to_string(d.at.column) + " " + d.message + " | " +
                     d.hint);
  }
  return list;
}

}  // namespace

TEST_CASE("paths have one spelling") {
  REQUIRE(normal_path("/p", "", "data/raw.csv") == "data/raw.csv");
  REQUIRE(normal_path("/p", "", "./a//b/../c/") == "a/c");
  REQUIRE(normal_path("/p", "sub", "../x") == "x");
  REQUIRE(normal_path("/p", "sub", "../../x") == "../x");
  REQUIRE(normal_path("/p", "", ".") == ".");
  REQUIRE(normal_path("/p", "sub", "..") == ".");
  REQUIRE(normal_path("/p", "", "/p/x") == "x");
  REQUIRE(normal_path("/p", "", "/p") == ".");
  REQUIRE(normal_path("/p", "/q", "x") == "/q/x");
  REQUIRE(normal_path("/p", "/q", "/../..") == "/");
  REQUIRE(normal_path("/", "", "/x") == "x");
  REQUIRE(pipeline::path_on_disk("/p", "a/b") == "/p/a/b");
  REQUIRE(pipeline::path_on_disk("/", "a") == "/a");
  REQUIRE(pipeline::path_on_disk("/p", "/q") == "/q");
  REQUIRE(lies_in("a/b", "a"));
  REQUIRE(lies_in("a", "."));
  REQUIRE(lies_in("/a", "/"));
  for (const auto& [path, folder] : std::vector<std::pair<const char*, const char*>>{
           {"a", "a"}, {"ab", "a"}, {"../a", "."}, {"..", "."}, {"/a", "."}, {".", "."}}) {
    REQUIRE_FALSE(lies_in(path, folder));
  }
}

TEST_CASE("two steps may not make one file") {
  REQUIRE(problem("steps:\n  a: {run: x, outputs: [m.bin]}\n  b: {run: x, outputs: [o, ./m.bin]}\n") ==
          "3:28 step 'b' makes 'm.bin', which step 'a' (line 2) makes too | every file is made by one step");
  REQUIRE_THAT(problem("steps:\n  a: {run: x, metrics: m}\n  b: {run: x, workdir: sub, outputs: ../m}\n"),
               ContainsSubstring("3:38 step 'b' makes 'm', which step 'a' (line 2) makes too"));
  REQUIRE_THAT(problem("steps:\n  a: {run: x, outputs: [/p/m]}\n  b: {run: x, outputs: [m]}\n"),
               ContainsSubstring("step 'b' makes 'm', which step 'a'"));
  REQUIRE_THAT(problem("steps: {a: {run: x, foreach: [1, 2], outputs: [m]}}"),
               ContainsSubstring("put what differs into the path, such as ${item}"));
  REQUIRE(problems("steps: {a: {run: x, outputs: [m], metrics: [m]}}").empty());
}

TEST_CASE("a file of one step may not lie in a folder of another") {
  REQUIRE_THAT(problem("steps:\n  a: {run: x, outputs: [out]}\n  b: {run: x, outputs: [out/m]}\n"),
               ContainsSubstring("3:25 step 'b' makes 'out/m', which lies in 'out' of step 'a' (line 2)"));
  REQUIRE_THAT(problem("steps:\n  b: {run: x, outputs: [out/m]}\n  a: {run: x, outputs: [out/]}\n"),
               ContainsSubstring("3:25 step 'a' makes 'out', which contains 'out/m' of step 'b' (line 2)"));
  REQUIRE_THAT(problem("steps:\n  a: {run: x, workdir: o, outputs: [.]}\n  b: {run: x, outputs: [o/+m]}\n"),
               ContainsSubstring("'o/+m', which lies in 'o' of step 'a'"));
  REQUIRE(problems("steps:\n  a: {run: x, outputs: [out, out-2, out.d/x]}\n  b: {run: x, outputs: [out-3, "
                   "out.d/y, out2]}\n")
              .empty());
  REQUIRE(problems("steps: {a: {run: x, outputs: [out, out/m]}}").empty());
}

TEST_CASE("an input must be there or be made") {
  const TempDir dir;
  util::make_directories(dir / "data/sub");
  util::write_file(dir / "data/here", "");
  REQUIRE(checked("steps: {a: {run: x, inputs: [data/here, data, ./data/sub/, '" + (dir / "data") + "']}}",
                  dir.path())
              .empty());
  REQUIRE(checked("steps: {a: {run: x, outputs: [out, m]}, b: {run: x, inputs: [out/part, m, ./m]}, c: {run: "
                  "x, workdir: out, inputs: [x]}}",
                  dir.path())
              .empty());
  REQUIRE(checked("steps:\n  a: {run: x, inputs: [data/here, nope]}\n", dir.path()) ==
          std::vector<std::string>{
              "2:35 input 'nope' does not exist and no step makes it (looked for " + (dir / "nope") +
              ") | create it, correct the path, or list it under 'outputs' of the step that makes it"});
  REQUIRE_THAT(
      checked("steps: {a: {run: x, outputs: [model.bin]}, b: {run: x, inputs: [modle.bin]}}", dir.path())
          .at(0),
      ContainsSubstring("did you mean 'model.bin'?"));
  REQUIRE_THAT(checked("steps: {a: {run: x, inputs: ['data/*.csv']}}", dir.path()).at(0),
               ContainsSubstring("patterns are not expanded"));
  REQUIRE_THAT(checked("steps: {a: {run: x, inputs: [m], outputs: [m]}}", dir.path()).at(0),
               ContainsSubstring("the step makes it itself"));
  REQUIRE(problems("steps: {a: {run: x, inputs: [nope]}}").empty());  // when files are not to be looked for
}

TEST_CASE("circles are shown as the path that they are") {
  REQUIRE(problem("steps:\n  a: {run: x, needs: b}\n  b: {run: x, needs: c}\n  c: {run: x, needs: a}\n") ==
          "2:3 steps wait for each other in a circle: a → c → b → a | c waits for a (needs); b waits for c "
          "(needs); a waits for b (needs)");
  REQUIRE(problem("params: {x: 1}\nsteps:\n  a: {run: 'x ${steps.b.outputs.k}', outputs: [m]}\n  b: {run: x, "
                  "inputs: [m]}\n") ==
          "3:3 steps wait for each other in a circle: a → b → a | b waits for a (m); a waits for b "
          "(${steps.b.outputs.k})");
  REQUIRE_THAT(problem("steps:\n  a: {run: x, when: steps.b.state == 'failed'}\n  b: {run: x, needs: a}\n"),
               ContainsSubstring("a waits for b (when)"));
  const auto two = problems(
      "steps: {a: {run: x, needs: b}, b: {run: x, needs: a}, c: {run: x, needs: d}, d: {run: x, needs: c}, "
      "e: {run: x, needs: [a, c]}}");
  REQUIRE(two.size() == 2);
  std::string ring = "steps:\n";
  for (int i = 0; i < 30; ++i)
    ring += "  s" + std::to_string(i) + ": {run: x, needs: s" + std::to_string((i + 1) % 30) + "}\n";
  REQUIRE_THAT(problem(ring), ContainsSubstring("… 18 more … → s0"));
}

TEST_CASE("no step makes what holds its own pipeline, records of a workspace or the system") {
  const auto why = [](const std::string& path) {
    const auto list = problems("steps:\n  s: {run: x, outputs: ['" + path + "']}\n");
    REQUIRE(list.size() == 1);
    REQUIRE_THAT(list[0], ContainsSubstring("2:25 step 's' cannot make '"));
    REQUIRE_THAT(list[0], ContainsSubstring(" | an output is replaced as a whole"));
    return list[0].substr(list[0].find("': it ") + 6, list[0].find(" | ") - list[0].find("': it ") - 6);
  };
  REQUIRE(why("/") == "is all there is");
  REQUIRE(why("..") == "is all there is");  // the file is /p/churn.yaml
  for (const char* path : {".", "/p", "a/..", "../p/"}) REQUIRE(why(path) == "is the directory of this file");
  REQUIRE(why("churn.yaml") == "is this file");
  REQUIRE(why("/p/./churn.yaml") == "is this file");
  for (const char* path : {".mlops", ".mlops/mlops.db", "sub/.mlops/store", "/q/.mlops", "../.mlops"})
    REQUIRE(why(path) == "lies in the records of a workspace");
  for (const char* path : {"/etc", "/tmp/", "/var", "../usr"}) REQUIRE(why(path) == "belongs to the system");
  REQUIRE_THAT(problem("steps: {s: {run: x, metrics: .mlops/m.json}}"),
               ContainsSubstring("lies in the records"));
  REQUIRE_THAT(problem("steps: {s: {run: x, workdir: sub, outputs: ..}}"),
               ContainsSubstring("is the directory"));
  REQUIRE(problems("steps: {s: {run: x, workdir: sub, outputs: .}}").empty());
  REQUIRE(
      problems(
          "steps: {s: {run: x, outputs: [/tmp/x, /q, .mlopsx, a.mlops, churn.yaml.bak, other/churn.yaml]}}")
          .empty());

  const std::string inner = "steps: {s: {run: x, workdir: sub, outputs: ../o}}";
  REQUIRE_NOTHROW(parse_pipeline(inner, "/p/.mlops/reproduce/r/p.yaml", {{}, false}));
  REQUIRE_THROWS_AS(
      parse_pipeline("steps: {s: {run: x, outputs: ../../.mlops}}", "/p/a/b/p.yaml", {{}, false}), BadFile);

  const TempDir dir;
  util::make_directories(dir / "nested/.mlops", 0777);
  const auto list = checked("steps: {s: {run: x, outputs: nested}}", dir / "");
  REQUIRE(list.size() == 1);
  REQUIRE_THAT(list[0], ContainsSubstring("cannot make 'nested': it holds the records of a workspace"));
}
