// What load.cpp, step_reader.cpp, fields.cpp and expand.cpp refuse, and in which words.
#include "pipeline/loading.hpp"

using namespace mlops;

TEST_CASE("all problems of a file are reported at once, in its order") {
  const auto list = problems(R"(nam: x
params: {lr: 0.1}
steps:
  a:
    run: echo ${params.lrr}
    timeout: soon
    ouputs: [x]
  b:
    needs: [a, c]
    run: [echo, 1]
    when: params.lr = 1
)");
  REQUIRE(list == std::vector<std::string>{
                      "1:1 unknown key 'nam' in the file | did you mean 'name'?",
                      "5:15 'params.lrr' is not set | did you mean 'params.lr'?",
                      "6:14 timeout: expected a duration such as 90s or 1h30m, got 'soon' | ",
                      "7:5 unknown key 'ouputs' in step 'a' | did you mean 'outputs'?",
                      "9:16 needs: no step 'c' | known: a, b",
                      "11:21 when: expected 'and', 'or' or the end, got '=' | equality is written ==",
                  });
  try {
    parse_pipeline("steps: {a: {}}", "dir/p.yaml");
    FAIL();
  } catch (const BadFile& e) {
    REQUIRE(e.code() == ExitCode::usage);
    REQUIRE_THAT(e.what(), ContainsSubstring("dir/p.yaml:1:9: step 'a' has no 'run'\n    say what it runs"));
  }
}

TEST_CASE("an expansion that cannot be read hides nothing else, and nothing is said of what hangs on it") {
  REQUIRE(problems(R"(params: {models: [], bad: .inf}
steps:
  fit:
    foreach: ${params.model}
    run: train ${item} ${item.depth} ${params.lr}
    timeout: ${item}
    ouputs: [x]
    when: item.depth > 3 and params.on
    env: {LIMIT: "${params.bad}"}
  grid:
    matrix: {lr: 0.1}
    run: train ${matrix.lr}
    inputs: ["data-${matrix.lr}"]
    retry: many
  best:
    run: pick ${steps.fit@a.outputs.score} ${steps.grid@0.1.outputs.x}
    needs: [fit, fit@rf, grid@0.1, gird]
)") == std::vector<std::string>{
           "1:27 params: .inf cannot be handed to steps as JSON | quote it: \".inf\"",
           "4:14 'params.model' is not set | did you mean 'params.models'?",
           "5:38 'params.lr' is not set | known: params.bad, params.models",
           "7:5 unknown key 'ouputs' in step 'fit' | did you mean 'outputs'?",
           "8:30 when: 'params.on' is not set | known: params.bad, params.models",
           "11:14 matrix: lr: expected a list with at least one value | ",
           "14:12 retry: expected a whole number from 0 to 1000, got 'many' | ",
           "17:36 needs: no step 'gird' | did you mean 'grid'?",
       });
}

TEST_CASE("keys of other tools are told by our name") {
  try {
    parse_pipeline("stages: {}\nsteps:\n  a: {cmd: x, outs: y, depends_on: z, run: x}\n", "p.yaml");
    FAIL();
  } catch (const BadFile& e) {
    for (const char* text : {"'stages' in the file\n    it is called 'steps' here", "it is called 'run' here",
                             "it is called 'outputs' here", "it is called 'needs' here"})
      REQUIRE_THAT(e.what(), ContainsSubstring(text));
  }
}

TEST_CASE("bad values of step keys are refused at their place") {
  const std::vector<std::pair<const char*, const char*>> bad = {
      {"kind: a b", "4:11 kind: expected a name, got 'a b'"},
      {"kind: -x", "expected a name"},
      {"kind: [x]", "4:11 kind: expected text, got a list"},
      {"description: {a: 1}", "description: expected text, got a map"},
      {"inputs: {a: 1}", "inputs: expected text or a list of texts, got a map"},
      {"inputs: [[a]]", "4:14 inputs: expected text, got a list"},
      {"inputs: ['']", "inputs: a text is empty"},
      {"outputs: [{kind: model}]", "4:15 an output has no 'path'"},
      {"outputs: {path: [a]}", "outputs: expected a path or {path: …, kind: …}, got a list"},
      {"outputs: [{path: a, knd: model}]", "4:25 unknown key 'knd' in an output"},
      {"metrics: [{path: m}]", "metrics: expected text, got a map"},
      {"params: [x]", "4:14 params: 'x' is not in the file's params"},
      {"needs: s", "4:12 step 's' needs itself"},
      {"needs: {s: 1}", "needs: expected text or a list"},
      {"env: [A=b]", "env: expected a map of names to values, got a list"},
      {"env: {a-b: 1}", "4:11 env: 'a-b' is not the name of an environment variable"},
      {"env: {MLOPS_X: 1}", "names that begin with MLOPS_ are set by mlops"},
      {"env: {A: ~}", "4:14 env A: expected text, got nothing | write \"\" for an empty text"},
      {"secrets: [X]", "4:15 secrets: 'X' is not declared | declare it at the top: secrets: [X]"},
      {"retry: yes", "retry: expected a whole number from 0 to 1000, got 'yes'"},
      {"retry: 1001", "from 0 to 1000, got '1001'"},
      {"retry: 010", "got '010'"},
      {"retry: 1.5", "got '1.5'"},
      {"retry: {time: 3}", "4:13 unknown key 'time' in retry | did you mean 'times'?"},
      {"retry: {backoff: 0.5}", "backoff: expected a number from 1.0 to 100.0, got '0.5'"},
      {"retry: {jitter: 2}", "jitter: expected a number from 0.0 to 1.0"},
      {"retry: {delay: -1s}", "delay: expected a duration"},
      {"retry: {on: [0]}", "4:18 on: expected an exit code from 1 to 255 or any, timeout"},
      {"retry: {on: [256]}", "got '256'"},
      {"retry: {on: failure}", "got 'failure'"},
      {"timeout: 1 h", "4:14 timeout: expected a duration such as 90s or 1h30m, got '1 h'"},
      {"timeout: {a: 1}", "timeout: expected a duration such as 90s or 1h30m, got a map"},
      {"grace: ''", "grace: expected a duration"},
      {"resources: 2", "4:16 resources: expected a map, got '2'"},
      {"resources: {cpu: 2}", "4:17 unknown key 'cpu' in resources | did you mean 'cpus'?"},
      {"resources: {cpus: -1}", "cpus: expected a number from 0.0 to 100000.0, got '-1'"},
      {"resources: {cpus: .inf}", "cpus: expected a number"},
      {"resources: {memory: lots}", "memory: expected a size such as 512MiB or 4GiB, got 'lots'"},
      {"resources: {gpus: 0.5}", "gpus: expected a whole number"},
      {"resources: {pools: db}", "4:24 pools: 'db' is not declared | declare it at the top: pools: {db: 1}"},
      {"when: ''", "4:11 when: the condition is empty"},
      {"when: [a]", "when: expected a condition"},
      {"when: \"params.x\"", "4:12 when: 'params.x' is not set"},
      {"when: steps.s.state == 'lost'", "when: step 's' asks about itself"},
      {"on_failure: contine",
       "on_failure: expected stop, continue, got 'contine' | did you mean 'continue'?"},
      {"always: yes", "always: expected true or false, got 'yes'"},
      {"leave_running: 1", "leave_running: expected true or false, got '1'"},
      {"workdir: [a]", "workdir: expected text, got a list"},
      {"foreach: 3", "foreach: expected a list or a map, got '3'"},
      {"foreach: []", "foreach: there is nothing in it"},
      {"foreach: ~", "foreach: expected a list or a map, got nothing"},
      {"matrix: [1]", "matrix: expected a map of names to lists"},
      {"matrix: {}", "matrix: there is nothing in it"},
      {"matrix: {a: 1}", "matrix: a: expected a list with at least one value"},
      {"matrix: {a-b: [1]}", "4:14 matrix: 'a-b' is not a name"},
      {"matrix: {a: []}", "matrix: a: expected a list with at least one value"},
      {"foreach: [1]\nmatrix: {a: [1]}", "5:13 step 's' has both 'foreach' and 'matrix'"},
      {"env: {A: \"${steps.s.outputs.k}\"}", "step 's' refers to its own output 'k'"},
      {"inputs: \"${steps.s.outputs.k}\"", "4:14 what a step makes is not known when the file is loaded"},
  };
  for (const auto& [keys, message] : bad) REQUIRE_THAT(problem(step(keys)), ContainsSubstring(message));
}

TEST_CASE("bad commands are refused") {
  REQUIRE_THAT(problem("steps: {s: {run: ''}}"), ContainsSubstring("1:18 run: is empty"));
  REQUIRE_THAT(problem("steps: {s: {run: []}}"), ContainsSubstring("run: the list is empty"));
  REQUIRE_THAT(problem("steps: {s: {run: ['', a]}}"),
               ContainsSubstring("1:19 run: the program is an empty text"));
  REQUIRE_THAT(problem("steps: {s: {run: {a: b}}}"),
               ContainsSubstring("run: expected a text (a shell script) or a list"));
  REQUIRE_THAT(problem("steps: {s: {run: [[a]]}}"), ContainsSubstring("run: expected text, got a list"));
  REQUIRE_THAT(problem("steps: {s: x}"), ContainsSubstring("1:12 step 's': expected a map, got 'x'"));
  REQUIRE_THAT(problem("steps: {s: {kind: train}}"), ContainsSubstring("1:9 step 's' has no 'run'"));
  REQUIRE_THAT(problem("params: {lr: 1}\nsteps:\n  s:\n    run: |\n      x\n      y \"${params.lr}\"\n"),
               ContainsSubstring("6:10 ${params.lr} stands inside quotes"));
}

TEST_CASE("bad values at the head of the file are refused") {
  const std::string tail = "\nsteps: {s: {run: x}}\n";
  const std::vector<std::pair<const char*, const char*>> bad = {
      {"version: 2", "1:10 version: expected 1, got '2'"},
      {"name: ' x'", "1:7 name: expected a name"},
      {"name: '${params.x}'", "unknown reference"},
      {"description: [x]", "description: expected text"},
      {"params: [1]", "1:9 params: expected a map, got a list"},
      {"params: {a.b: 1}", "1:10 params: the key 'a.b' contains '.'"},
      {"params: {a: .inf}", "1:13 params: .inf cannot be handed to steps as JSON"},
      {"params: {a: \"${params.b}\"}", "1:13 params are values: references in them are not filled in"},
      {"env: {inherit: maybe}", "env inherit: expected true or false"},
      {"env: {A: \"${steps.s.outputs.k}\"}", "not known when the file is loaded"},
      {"env: [A]", "env: expected a map of names to values"},
      {"secrets: [a-b]", "1:11 secrets: 'a-b' cannot be the name of a secret"},
      {"secrets: [A, A]", "1:14 secrets: 'A' is declared twice"},
      {"secrets: {A: {env: B, file: f}}", "expected exactly one of env, file, command"},
      {"secrets: {A: {}}", "expected exactly one of"},
      {"secrets: {A: {env: a-b}}", "env: expected the name of an environment variable"},
      {"secrets: {A: {command: pass}}", "command: expected a list of a program and its arguments"},
      {"secrets: {A: {fil: x}}", "unknown key 'fil' in secret 'A' | did you mean 'file'?"},
      {"pools: [db]", "pools: expected a map of names to sizes, got a list"},
      {"pools: {db: 0}", "pools db: expected a whole number from 1 to 1000000, got '0'"},
      {"priority: 1001", "priority: expected a whole number from -1000 to 1000, got '1001'"},
      {"priority: high", "priority: expected a whole number from -1000 to 1000, got 'high'"},
      {"concurrency: 0", "concurrency: expected a whole number from 1 to 1000000, got '0'"},
      {"pools: {'a b': 1}", "1:9 pools: 'a b' is not a name"},
      {"schedule: {timezone: UTC}", "1:11 schedule: says no time"},
      {"schedule: {cron: '@daily', every: 1h}", "only one of 'cron', 'every' and 'at' can be given"},
      {"schedule: {every: 1500ms}", "every: expected whole seconds, at least one, got '1500ms'"},
      {"schedule: []", "1:11 schedule: the list is empty"},
      {"schedule: ''", "1:11 schedule: expected a cron line, got ''"},
      {"schedule: {cron: ''}", "cron: expected a text, got ''"},
      {"schedule: {cron: '@daily', timezone: ''}",
       "timezone: expected a text, got '' | leave 'timezone' out"},
      {"schedule: [[x]]", "1:12 schedule: expected a cron line, or a map"},
      {"schedule: ['@daily', {cron: '@hourly', name: main}]", "two entries are called 'main'"},
      {"schedule: {cron: '@daily', days: both}", "days: expected cron, and, or, got 'both'"},
      {"schedule: {cron: '@daily', dst: {gap: jump}}", "gap: expected run, skip, got 'jump'"},
      {"schedule: {cron: '@daily', dst: {gaps: run}}", "unknown key 'gaps' in dst | did you mean 'gap'?"},
      {"schedule: {cron: '@daily', catchup: {max: 3}}", "catchup: 'mode' is missing"},
      {"schedule: {cron: '@daily', catchup: {mode: all, max: 0}}", "max: expected a whole number from 1"},
      {"schedule: {cron: '@daily', start_within: soon}", "start_within: expected a duration"},
      {"schedule: {cron: '@daily', deadline: '6:00'}", "deadline: expected a time of day"},
      {"schedule: {cron: '@daily', deadline: '24:00'}", "deadline: expected a time of day"},
      {"schedule: {cron: '@daily', deadline: '06:60'}", "deadline: expected a time of day"},
      {"schedule: {cron: '@daily', fresh_within: 0s}", "fresh_within: expected a time of a second or more"},
      {"schedule: '* * * *'", "schedule: '* * * *' has 4 fields and needs 5"},
      {"schedule: {cron: '61 * * * *'}", "schedule: minute '61': 61 is not in 0-59"},
      {"schedule: '@dayly'", "did you mean '@daily'?"},
      {"schedule: {cron: '@daily', catchup: some}", "catchup: expected none, last, all, got 'some'"},
      {"schedule: {cron: '@daily', overlap: skp}", "did you mean 'skip'?"},
      {"notify: []", "1:9 notify: the list is empty"},
      {"notify: x", "1:9 notify: expected a map, got 'x'"},
      {"notify: {preset: slack}", "1:9 notify: does not say whom"},
      {"notify: {email: a@b, command: x}", "only one of 'webhook', 'email' and 'command' can be given"},
      {"notify: {webhok: x}", "1:10 unknown key 'webhok' in notify | did you mean 'webhook'?"},
      {"notify: {webhook: ftp://x}", "1:19 webhook: expected an http or https URL"},
      {"notify: {webhook: 'https://'}", "webhook: expected an http or https URL"},
      {"notify: {webhook: 'https://u:p@x/'}", "a password does not belong into the file"},
      {"notify: {webhook: '${env.HOOK}'}", "is a secret, and would be recorded here"},
      {"notify: {webhook: {secret: HOOK}}", "1:28 webhook: no secret 'HOOK' is declared | declare it"},
      {"secrets: [HOOK]\nnotify: {webhook: {secret: HOK}}",
       "2:28 webhook: no secret 'HOK' is declared | did you"},
      {"notify: {webhook: {}}", "webhook: 'secret' is missing"},
      {"notify: {webhook: https://x, preset: slak}", "did you mean 'slack'?"},
      {"notify: {email: a@b, preset: slack}", "preset: only a webhook has one"},
      {"notify: {email: [a@b, 'c']}", "1:23 email: 'c' is no mail address"},
      {"notify: {email: 'a@b\\nBcc: c@d'}", "is no mail address"},
      {"notify: {email: []}", "email: expected a mail address"},
      {"notify: {command: []}", "command: expected a program with its arguments"},
      {"notify: {command: 'echo ${run.id}'}", "unknown reference '${run.id}'"},
      {"notify: {email: a@b, on: [failure, succes]}",
       "1:36 on: expected failure, recovery, late, refused, success"},
      {"notify: {email: a@b, on: []}", "on: expected failure"},
      {"notify: {email: a@b, text: 'x ${run.idd}'}",
       "1:31 text: unknown reference '${run.idd}' | did you mean '${run.id}'?"},
      {"notify: {email: a@b, every: often}", "every: expected a duration"},
      {"notify: [{email: a@b}, {email: [a@b, c@d]}]", "1:24 notify: two entries are called 'a@b'"},
      {"defaults: [x]", "1:11 defaults: expected a map, got a list"},
      {"defaults: {run: x}", "1:12 'run' cannot be a default | write it in each step"},
      {"defaults: {timeuot: 1s}", "unknown key 'timeuot' in defaults | did you mean 'timeout'?"},
  };
  for (const auto& [head, message] : bad) {
    std::string all;
    for (const std::string& one : problems(head + tail)) all += one + "\n";
    INFO(head);
    REQUIRE_THAT(all, ContainsSubstring(message));
  }
  REQUIRE_THAT(problem(""), ContainsSubstring("1:1 the file is empty"));
  REQUIRE_THAT(problem("[1]"), ContainsSubstring("1:1 the file: expected a map, got a list"));
  REQUIRE_THAT(problem("name: x"), ContainsSubstring("1:1 the file has no steps"));
  REQUIRE_THAT(problem("steps: {}"), ContainsSubstring("1:8 the file has no steps"));
  REQUIRE_THAT(problem("steps: [a]"),
               ContainsSubstring("1:8 steps: expected a map of names to steps, got a list"));
  REQUIRE_THAT(problem("steps: {'a b': {run: x}}"), ContainsSubstring("1:9 'a b' is not a name of a step"));
  REQUIRE_THAT(problem("steps: {" + std::string(101, 'a') + ": {run: x}}"),
               ContainsSubstring("is not a name of a step"));
}

TEST_CASE("a condition that can never be decided is refused at its place") {
  REQUIRE(problem("params: {n: 4}\nsteps: {a: {run: x, when: params.n}}\n") ==
          "2:27 when: params.n is 4, which is neither true nor false | ");
  REQUIRE(problem("steps:\n  a: {run: x}\n  b: {run: x, always: true, when: steps.a.state == 'faild'}\n") ==
          "3:52 when: 'faild' is no state of a step | did you mean 'failed'?");
}
