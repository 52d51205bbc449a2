#include "pipeline/loading.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

using namespace mlops;

namespace {

Step one(const std::string& keys, const std::string& head = "") { return load(step(keys, head)).steps.at(0); }

std::vector<std::string> names(const Pipeline& p) {
  std::vector<std::string> list;
  for (const Step& s : p.steps) list.push_back(s.name);
  return list;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a file with every key is read as it is meant") {
  const Pipeline p = load(R"(version: 1
name: churn-model
description: Who leaves
params: {seed: 1, train: {lr: 0.1}, text: "$${x} 010", old: 010}
env: {A: "${params.train.lr}", inherit: false}
secrets: [TOKEN]
pools: {db: 2, gpu-lane: 1}
schedule: {cron: "0 3 * * *", timezone: Asia/Seoul, catchup: all, overlap: queue}
priority: -10
concurrency: ${params.seed}
steps:
  train:
    kind: train
    description: Fits
    run: python t.py --lr ${params.train.lr}
    inputs: [t.py, data/]
    outputs: [{path: m.bin, kind: model}, log.txt]
    metrics: m.json
    params: [train, seed]
    env: {B: "x${params.seed}", C: ""}
    secrets: TOKEN
    retry: {times: 3, delay: 10s, backoff: 2, max_delay: 1m, jitter: 0.5, on: [timeout, 75, signal, lost, no_output]}
    timeout: 30m
    no_output_timeout: 90
    grace: 1.5s
    resources: {cpus: 0.5, memory: 4GiB, gpus: 1, pools: {db: 2}}
    when: params.seed == 1
    on_failure: continue
    always: true
    leave_running: true
    workdir: sub
)",
                          {"train.lr=0.2"});
  REQUIRE(p.name == "churn-model");
  REQUIRE(p.directory == "/p");
  REQUIRE(p.params == Json::parse(R"({"seed":1,"train":{"lr":0.2},"text":"${x} 010","old":"010"})"));
  REQUIRE(p.overrides == Names{"train.lr=0.2"});
  REQUIRE(p.env == std::map<std::string, std::string>{{"A", "0.2"}});
  REQUIRE_FALSE(p.inherit_env);
  REQUIRE(p.pools.at("db") == 2);
  REQUIRE(p.priority == -10);
  REQUIRE(p.concurrency == 1);
  REQUIRE(p.schedules.at(0).cron == "0 3 * * *");
  REQUIRE(p.schedules.at(0).overlap == Overlap::queue);
  const Step& s = p.steps.at(0);
  REQUIRE(s.command.shell);
  REQUIRE(s.command.argv.at(0).literal() == "python t.py --lr 0.2");
  REQUIRE(s.inputs == Names{"t.py", "data/"});
  REQUIRE(s.outputs.at(0).kind == "model");
  REQUIRE(s.outputs.at(1).path == "log.txt");
  REQUIRE(s.metrics == Names{"m.json"});
  REQUIRE(s.params == Names{"train", "seed"});
  REQUIRE(s.env.at("B").literal() == "x1");
  REQUIRE(s.secrets == Names{"TOKEN"});
  REQUIRE(s.retry.times == 3);
  REQUIRE(s.retry.delay == Milliseconds(10'000));
  REQUIRE(s.retry.max_delay == Milliseconds(60'000));
  REQUIRE(s.retry.jitter == 0.5);
  REQUIRE(s.retry.on.size() == 5);
  REQUIRE(s.retry.on[1].code == 75);
  REQUIRE(s.timeout == Milliseconds(1'800'000));
  REQUIRE(s.no_output_timeout == Milliseconds(90'000));
  REQUIRE(s.grace == Milliseconds(1'500));
  REQUIRE(s.resources.cpus == 0.5);
  REQUIRE(s.resources.memory == 4ull << 30);
  REQUIRE(s.resources.pools.at("db") == 2);
  REQUIRE((s.continue_on_failure && s.always && s.leave_running));
  REQUIRE(s.workdir == "sub");
  REQUIRE(s.at.line == 12);
}

TEST_CASE("a list is an argument vector, each reference a part of one argument") {
  const Step s = load(
                     "params: {a: 'x y', n: 1}\nsteps:\n  s: {run: [echo, \"-${params.a}-\", "
                     "'\"${params.a}\"', 010, \"\"]}\n")
                     .steps[0];
  REQUIRE_FALSE(s.command.shell);
  std::vector<std::string> words;
  for (const Text& t : s.command.argv) words.push_back(t.literal());
  REQUIRE(words == Names{"echo", "-x y-", "\"x y\"", "010", ""});
}

TEST_CASE("a pipeline without a name gets that of its file or folder") {
  const auto name = [](const char* path) { return parse_pipeline("steps: {s: {run: x}}", path, {}).name; };
  REQUIRE(name("/p/churn.yaml") == "churn");
  REQUIRE(name("/home/churn/pipeline.yaml") == "churn");
  REQUIRE(name("/p/a b!.yml") == "a_b_");
  REQUIRE(name("/pipeline.yaml") == "pipeline");
}

TEST_CASE("steps take defaults, and null takes them away") {
  const Pipeline p = load(R"(
defaults: {timeout: 1m, retry: 2, env: {A: a, B: b}, resources: {cpus: 2, gpus: 1}, on_failure: continue}
steps:
  a: {run: x}
  b: {run: x, timeout: ~, retry: {times: 5}, env: {B: own}, resources: {cpus: 4}, on_failure: stop}
  c: {run: x, env: ~, resources: ~}
)");
  REQUIRE(p.steps[0].timeout == Milliseconds(60'000));
  REQUIRE(p.steps[0].env.size() == 2);
  REQUIRE(p.steps[0].continue_on_failure);
  REQUIRE(p.steps[1].timeout == Milliseconds(0));
  REQUIRE(p.steps[1].retry.times == 5);
  REQUIRE(p.steps[1].env.at("A").literal() == "a");
  REQUIRE(p.steps[1].env.at("B").literal() == "own");
  REQUIRE(p.steps[1].resources.cpus == 4);
  REQUIRE(p.steps[1].resources.gpus == 1);
  REQUIRE_FALSE(p.steps[1].continue_on_failure);
  REQUIRE(p.steps[2].env.empty());
  REQUIRE(p.steps[2].resources.cpus == 0);
  REQUIRE_THAT(problem("defaults: {timeout: soon}\nsteps: {a: {run: x}, b: {run: x}}\n"),
               ContainsSubstring("1:21 timeout: expected a duration"));
}

TEST_CASE("foreach and matrix name their steps by their values") {
  const auto expanded = [](const std::string& keys) {
    return names(load("params: {m: [rf, gb], g: {lr: [1, 2]}}\nsteps: {fit: {run: 'x', " + keys +
                      "}, z: {run: x, needs: fit}}"));
  };
  REQUIRE(expanded("foreach: [a, 0.1, true]") == Names{"fit@a", "fit@0.1", "fit@true", "z"});
  REQUIRE(expanded("foreach: \"${params.m}\"") == Names{"fit@rf", "fit@gb", "z"});
  REQUIRE(expanded("foreach: {b: 1, a: 2}") == Names{"fit@b", "fit@a", "z"});
  REQUIRE(expanded("foreach: ['a/b', 'a b']") == Names{"fit@0", "fit@1", "z"});  // both would be a_b
  REQUIRE(expanded("foreach: [{k: 1}, x]") == Names{"fit@0", "fit@1", "z"});
  REQUIRE(expanded("foreach: [" + std::string(81, 'a') + "]") == Names{"fit@0", "z"});
  REQUIRE(expanded("matrix: {lr: [0.1, 0.01], m: [rf, gb]}") ==
          Names{"fit@0.1-rf", "fit@0.1-gb", "fit@0.01-rf", "fit@0.01-gb", "z"});
  REQUIRE(expanded("matrix: \"${params.g}\"") == Names{"fit@1", "fit@2", "z"});
  const Pipeline p = load(
      "steps:\n  fit: {run: 'x ${item} ${key}', foreach: {b: {d: 1}, a: 2}, outputs: ['${key}.bin']}\n  z: "
      "{run: x, needs: [fit, fit@a]}\n");
  REQUIRE(p.steps[0].command.argv[0].literal() == "x '{\"d\":1}' b");
  REQUIRE(p.steps[1].outputs[0].path == "a.bin");
  REQUIRE(p.steps[1].base == "fit");
  REQUIRE(p.steps[1].vars == Json({{"item", 2}, {"key", "a"}}));
  REQUIRE(p.steps[2].needs == Names{"fit@b", "fit@a"});
  REQUIRE_THAT(
      problem(
          "steps: {s: {run: x, matrix: {a: &l [1,2,3,4,5,6,7,8,9,10], b: *l, c: *l, d: *l, e: *l, f: *l}}}"),
      ContainsSubstring("matrix: more than 100000 combinations"));
}

TEST_CASE("secrets come from a variable, a file or a command") {
  const Pipeline p = load(
      "secrets: {A: ~, B: {env: OTHER}, C: {file: /run/c}, D: {command: [pass, show, d]}}\nsteps: {s: {run: "
      "x, secrets: [A, D]}}");
  REQUIRE(p.secrets.size() == 4);
  REQUIRE(p.secrets[0].from == Names{"A"});
  REQUIRE(p.secrets[1].from == Names{"OTHER"});
  REQUIRE(p.secrets[2].source == Secret::Source::file);
  REQUIRE(p.secrets[3].from == Names{"pass", "show", "d"});
  REQUIRE(p.steps[0].secrets == Names{"A", "D"});
}

TEST_CASE("shares of pools are checked against their size") {
  const std::string head = "pools: {db: 2, io: 1}\n";
  REQUIRE(one("resources: {pools: [db, io]}", head).resources.pools ==
          std::map<std::string, int>{{"db", 1}, {"io", 1}});
  REQUIRE_THAT(problem(step("resources: {pools: {db: 3}}", head)),
               ContainsSubstring("5:25 pools: asks for 3 of 'db', which has 2 | the step could never start"));
  REQUIRE_THAT(problem(step("resources: {pools: {dbs: 1}}", head)), ContainsSubstring("did you mean 'db'?"));
}

TEST_CASE("numbers, durations and words may come from params") {
  const std::string head =
      "params: {n: 3, t: 5m, w: continue, b: true, m: 2GiB, p: 2}\npools: {db: '${params.p}'}\n";
  const Step s =
      one("retry: ${params.n}\ntimeout: ${params.t}\non_failure: ${params.w}\nalways: "
          "${params.b}\nresources: {memory: '${params.m}', cpus: '${params.n}', pools: {db: '${params.p}'}}",
          head);
  REQUIRE(s.retry.times == 3);
  REQUIRE(s.timeout == Milliseconds(300'000));
  REQUIRE((s.continue_on_failure && s.always));
  REQUIRE(s.resources.memory == 2ull << 30);
  REQUIRE(s.resources.cpus == 3);
  REQUIRE_THAT(problem(step("retry: ${params.t}", head)),
               ContainsSubstring("retry: expected a whole number"));
}

TEST_CASE("a file is loaded from disk, and what is no file is refused") {
  const TempDir dir;
  util::write_file(dir / "p.yaml", "steps: {s: {run: x, inputs: [data]}}");
  REQUIRE_THROWS_AS(load_pipeline(dir / "p.yaml"), BadFile);
  util::write_file(dir / "data", "");
  REQUIRE(load_pipeline(dir / "p.yaml").directory == dir.path());
  REQUIRE_THROWS_AS(load_pipeline(dir / "none.yaml"), Error);
  REQUIRE_THROWS_AS(load_pipeline(dir.path()), Error);
  REQUIRE_THROWS_AS(load_pipeline("/dev/zero"), Error);
}

namespace {

std::string refusal(const std::string& path) {
  try {
    load_pipeline(path);
  } catch (const BadFile& e) {
    REQUIRE(e.problems().size() == 1);
    return e.problems()[0].message + " | " + e.problems()[0].hint;
  }
  return "loads";
}

}  // namespace

TEST_CASE("only what can be read to its end is opened") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo.yaml").c_str(), 0600) == 0);
  REQUIRE_THAT(refusal(dir / "fifo.yaml"), ContainsSubstring("is a named pipe, not a pipeline file | "));
  REQUIRE_THAT(refusal("/dev/null"), ContainsSubstring("is a device"));
  REQUIRE_THAT(refusal(dir.path()), ContainsSubstring("is a directory"));

  // A pipe that was handed over is read, relative to the working directory.
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const std::string text = "steps: {s: {run: x}}";
  REQUIRE(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  ::close(ends[1]);
  const Pipeline pipeline = load_pipeline("/dev/fd/" + std::to_string(ends[0]));
  ::close(ends[0]);
  REQUIRE(pipeline.steps.size() == 1);
  REQUIRE(pipeline.directory == std::filesystem::current_path());
}

TEST_CASE("links that lead nowhere are called that") {
  const TempDir dir;
  std::filesystem::create_symlink("gone.yml", dir / "dangling.yaml");
  std::filesystem::create_symlink("loop.yaml", dir / "loop.yaml");
  REQUIRE_THAT(refusal(dir / "dangling.yaml"),
               ContainsSubstring("is a link to 'gone.yml', which does not exist | "));
  REQUIRE_THAT(refusal(dir / "loop.yaml"), ContainsSubstring("is a link that leads back to itself | "));
  REQUIRE_THAT(refusal(dir / "loop.yaml/x.yaml"), ContainsSubstring("leads back to itself"));
  util::write_file(dir / "train.yaml", "steps: {s: {run: x}}");
  REQUIRE(refusal(dir / "trian.yaml") ==
          "there is no such file | did you mean '" + (dir / "train.yaml") + "'?");
}

TEST_CASE("names of files are shown without control characters") {
  const TempDir dir;
  try {
    load_pipeline(dir / "a\nb\x1b[31m.yaml");
    FAIL();
  } catch (const BadFile& e) {
    REQUIRE(e.problems()[0].file == dir / "a\\nb\\x1b[31m.yaml");
  }
}
