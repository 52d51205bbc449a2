#include <mlops/pipeline.hpp>

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <algorithm>

using namespace mlops;

namespace {

struct Project {
  Project() { util::make_directories(dir / ".dvc"); }
  Pipeline load(const std::string& text) {
    util::write_file(dir / "dvc.yaml", text);
    LoadOptions options;
    options.check_files = false;
    return load_pipeline(dir / "dvc.yaml", options);
  }
  std::string problems(const std::string& text) {
    try {
      load(text);
    } catch (const BadFile& bad) {
      std::string all;
      for (const Diagnostic& d : bad.problems()) all += to_string(d) + "\n";
      return all;
    }
    return {};
  }
  TempDir dir;
};

std::vector<std::string> names(const Pipeline& pipeline) {
  std::vector<std::string> list;
  for (const Step& step : pipeline.steps) list.push_back(step.name);
  return list;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("foreach names its stages as DVC does") {
  Project p;
  CHECK(names(p.load("stages: {s: {foreach: [a, 1, 1.50, true, a], do: {cmd: x}}}")) ==
        Names{"s@a", "s@1", "s@1.5", "s@true"});
  CHECK(names(p.load("stages: {s: {foreach: [a, {b: 1}], do: {cmd: x}}}")) == Names{"s@0", "s@1"});
  CHECK(names(p.load("stages: {s: {foreach: {2021: {n: 1}, x: 2}, do: {cmd: 'echo ${key}'}}}")) ==
        Names{"s@2021", "s@x"});
}

TEST_CASE("matrix names its stages as DVC does, the last name fastest") {
  Project p;
  const Pipeline pipeline = p.load(
      "stages: {train: {matrix: {model: [cnn, xgb], d: [{a: 1}, {a: 2}], l: [[1]]}, cmd: 'echo ${item.d.a} "
      "${key}'}}");
  CHECK(names(pipeline) == Names{"train@cnn-d0-l0", "train@cnn-d1-l0", "train@xgb-d0-l0", "train@xgb-d1-l0"});
  CHECK(pipeline.dvc->stages[1].cmd == "echo 2 cnn-d1-l0");
}

TEST_CASE("what a reference brings names its stages as Python writes it, of one name the last counts") {
  Project p;
  util::write_file(p.dir / "params.yaml", "b: [true, false, null, 1e3, 'True']\non: true\n");
  CHECK(names(p.load("stages: {s: {foreach: '${b}', do: {cmd: x}}}")) ==
        Names{"s@True", "s@False", "s@None", "s@1000.0"});
  CHECK(p.load("stages: {s: {foreach: '${b}', do: {cmd: 'x ${item}'}}}").dvc->stages[0].cmd == "x True");
  CHECK(names(p.load("stages: {s: {foreach: [true, '${on}', 'x${on}'], do: {cmd: x}}}")) ==
        Names{"s@true", "s@True", "s@xtrue"});
  const Pipeline grid = p.load(
      "vars: [{c: [true, false]}]\n"
      "stages: {s: {matrix: {a: [true, '${on}'], b: '${c}'}, cmd: 'x ${key} ${item.b}'}}");
  CHECK(names(grid) == Names{"s@true-True", "s@true-False", "s@True-True", "s@True-False"});
  CHECK(grid.dvc->stages[3].cmd == "x True-False false");
  CHECK(p.problems(
             "vars: [{n: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}]\nstages: {s: {matrix: {a: '${n}', b: '${n}', c: "
             "'${n}', d: '${n}', e: '${n}', f: '${n}'}, cmd: x}}")
            .find("more than 100000") != std::string::npos);
}

TEST_CASE("keys that are no text cannot be named, and stand for no stage") {
  Project p;
  util::write_file(p.dir / "params.yaml",
                   "y: {2021: a, true: b, t: c, 1.5: d}\nt: {1: no, k: {2: no, l: x}}\n");
  const Pipeline pipeline = p.load(
      "stages: {s: {foreach: '${y}', do: {cmd: 'x ${t}'}}, i: {foreach: {2021: {1: no, n: v}, 1.50: {}}, "
      "do: {cmd: 'x ${item}'}}}");
  CHECK(names(pipeline) == Names{"s@t", "i@2021", "i@1.5"});
  CHECK(pipeline.dvc->stages[0].cmd == "x --k.l x");
  CHECK(pipeline.dvc->stages[1].cmd == "x --n v");
}

TEST_CASE("params.yaml, vars and wdir are what can be named") {
  Project p;
  util::write_file(p.dir / "params.yaml", "lr: 0.10\ndir: sub\n");
  util::make_directories(p.dir / "sub");
  util::write_file(p.dir / "sub/more.json", R"({"deep": {"x": [1, 2]}, "other": 1})");
  const Pipeline pipeline = p.load(
      "vars: [{own: {k: v}}]\n"
      "stages:\n  s:\n    wdir: ${dir}\n    vars: ['more.json:deep']\n    cmd: run ${lr} ${own.k} "
      "${deep.x[1]}\n"
      "    outs: [{'${own.k}.txt': {cache: false, persist: true}}]\n");
  CHECK(pipeline.dvc->stages[0].cmd == "run 0.1 v 2");
  CHECK(pipeline.dvc->stages[0].outs[0].path == "v.txt");
  CHECK(p.problems("vars: [params.yaml:lr]\nstages: {a: {cmd: x}}").find("wholly and in part") !=
        std::string::npos);
  CHECK(p.problems("vars: [{lr: 1}]\nstages: {a: {cmd: x}}").find("has a value already") !=
        std::string::npos);
  CHECK(p.problems("vars: [none.yaml]\nstages: {a: {cmd: x}}").find("there is no file") != std::string::npos);
  CHECK(p.problems("vars: [{a: '${lr}'}]\nstages: {a: {cmd: x}}").find("nothing is filled in") !=
        std::string::npos);
}

TEST_CASE("a stage becomes a step") {
  Project p;
  util::write_file(p.dir / "params.yaml", "lr: 0.10\ndir: sub\nflag: true\n");
  const Pipeline pipeline = p.load(
      "stages:\n  a: {cmd: \"x\\ny\\n\", deps: [d], params: [lr, f.json: [k]], outs: [{o: {persist: "
      "true}}]}\n"
      "  b: {cmd: [p, q], wdir: '${dir}', deps: [../o], metrics: [m.json: {cache: false}], frozen: "
      "'${flag}'}\n");
  REQUIRE(pipeline.steps.size() == 2);
  const Step& a = pipeline.steps[0];
  CHECK(a.command.each);
  CHECK(a.command.argv.size() == 2);
  CHECK(a.inputs == Names{"d", "params.yaml", "f.json"});
  CHECK(a.outputs[0].persist);
  CHECK(a.env.at("DVC_STAGE").literal() == "a");
  CHECK(pipeline.steps[1].workdir == "sub");
  CHECK(pipeline.steps[1].inputs.empty());
  CHECK(pipeline.dvc->stages[1].frozen);
  CHECK(pipeline.dvc->stages[0].cmd == "x\ny\n");
  CHECK_FALSE(pipeline.dvc->stages[1].outs[0].cache);
}

TEST_CASE("other dvc.yaml files give the stages that make what is needed") {
  Project p;
  util::make_directories(p.dir / "in/deep");
  util::make_directories(p.dir / "ignored");
  util::write_file(p.dir / ".dvcignore", "ignored/\n");
  util::write_file(p.dir / "ignored/dvc.yaml", "stages: [");
  util::write_file(p.dir / "in/dvc.yaml", "stages: {get: {cmd: x, outs: [f]}, no: {cmd: x, outs: [g]}}");
  const Pipeline pipeline = p.load("stages: {use: {cmd: x, deps: [in/f]}}");
  CHECK(names(pipeline) == Names{"use", "in/dvc.yaml:get"});
  CHECK(pipeline.steps[1].workdir == "in");
  CHECK(pipeline.dvc->stages[1].name == "get");
  CHECK(pipeline.dvc->stages[1].rank < pipeline.dvc->stages[0].rank);
  CHECK(make_graph(pipeline).needs[0] == std::vector<int>{1});

  // Frozen, it is read from what was read then.
  LoadOptions options;
  options.check_files = false;
  options.sources = &pipeline.dvc->sources;
  std::filesystem::remove_all(p.dir / "in");
  CHECK(names(parse_pipeline(pipeline.source, p.dir / "dvc.yaml", options)) == names(pipeline));
}

TEST_CASE("all problems of a dvc.yaml are told, with their places") {
  Project p;
  const std::string all = p.problems(
      "stages:\n  a: {cmd: 'echo ${no}', dep: [x]}\n  b: {outs: [{o: {cached: true}}]}\n  c: {cmd: x, "
      "frozen: 3}\n"
      "  d: {foreach: 3, do: {cmd: x}}\n  e: {foreach: [1], matrix: {}}\nextra: 1\n");
  for (const char* words :
       {"dvc.yaml:2:18: cmd: there is no value 'no'", "no key 'dep'", "stage 'b' has no cmd",
        "no setting 'cached'", "frozen: expected true or false, got a number",
        "expected a list or a map, got a number", "foreach and matrix exclude each other",
        "dvc.yaml has no key 'extra'"}) {
    INFO(words << " in\n" << all);
    CHECK(all.find(words) != all.npos);
  }
  CHECK(p.problems("stages: {a: {cmd: x, outs: [o]}, b: {cmd: x, outs: [o/p]}}").find("as part of 'o'") !=
        std::string::npos);
  CHECK(p.problems("stages: {a: {cmd: x, deps: [o], outs: [o]}}").find("and makes it") != std::string::npos);
  CHECK(p.problems("stages: {a: {cmd: x, deps: ['s3://b/k']}}").find("lies elsewhere") != std::string::npos);
  CHECK(p.problems("stages: {a: {cmd: x, outs: [../../o]}}").find("outside the project") !=
        std::string::npos);
  for (const char* path : {"dvc.yaml", ".mlops/mlops.db"}) {
    INFO(path);
    const std::string text = std::string("stages: {a: {cmd: x, outs: ['") + path + "']}}";
    const std::string found = p.problems(text);
    CHECK(found.find("'" + std::string(path) + "' cannot be made: it ") != std::string::npos);
    CHECK(found.find("1:29") != std::string::npos);
  }
}
