#include "engine/outcome.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <signal.h>

#include <cerrno>

using namespace mlops;
using namespace mlops::engine;
using process::Cause;
using process::ExitRecord;
using Kind = AttemptOutcome::Kind;

namespace {

Step step_of(const std::string& program) {
  Step step;
  step.command.argv = {Text{{{program, "", ""}}}};
  step.timeout = Milliseconds(90'000);
  step.no_output_timeout = Milliseconds(5'000);
  return step;
}

AttemptOutcome outcome(const ExitRecord& record, const Step& step, const std::string& directory = "/",
                       bool memory_kill = false) {
  return outcome_of(record, {&step, directory, "/usr/bin:/bin", memory_kill});
}

}  // namespace

TEST_CASE("how an attempt ended is said in words") {
  const Step step = step_of("train");
  ExitRecord r;
  r.cause = Cause::exited;
  r.code = 0;
  REQUIRE(outcome(r, step).kind == Kind::succeeded);
  r.code = 3;
  REQUIRE(outcome(r, step).words == "exit code 3");
  REQUIRE(outcome(r, step).code == 3);

  r.code = -1;
  r.signal = SIGSEGV;
  r.core_dumped = true;
  REQUIRE(outcome(r, step).words == "killed by SIGSEGV (Segmentation fault), core dumped");
  REQUIRE(outcome(r, step).code == 128 + SIGSEGV);

  r.cause = Cause::timeout;
  REQUIRE(outcome(r, step).words == "timed out after 1m30s");
  r.cause = Cause::no_output;
  REQUIRE(outcome(r, step).words == "wrote nothing for 5.0s");
  r.cause = Cause::lost;
  REQUIRE(outcome(r, step).kind == Kind::lost);
}

TEST_CASE("a command of a script that was killed is no exit code like another") {
  Step step = step_of("./train; echo");
  step.command.shell = true;
  step.kind = "gate";
  ExitRecord r;
  r.cause = Cause::exited;
  r.code = 137;
  const AttemptOutcome killed = outcome(r, step);
  REQUIRE(killed.words ==
          "exit code 137: a command of its script was killed by SIGKILL (Killed), which mlops did not send");
  REQUIRE(verdict_of(step, killed, killed.words).exit_code == ExitCode::step_failed);
  REQUIRE(outcome(r, step, "/", true).words.find("out of memory") != std::string::npos);
  r.code = 1;
  REQUIRE(verdict_of(step, outcome(r, step), "").exit_code == ExitCode::gate_refused);
  step.command.shell = false;
  r.code = 137;
  REQUIRE(outcome(r, step).words == "exit code 137");
}

TEST_CASE("a kill for lack of memory is told apart from one by a stranger") {
  const Step step = step_of("train");
  ExitRecord r;
  r.cause = Cause::exited;
  r.signal = SIGKILL;
  r.max_rss_kb = 3 << 20;
  REQUIRE_THAT(outcome(r, step, "/", true).words,
               ContainsSubstring("out of memory") && ContainsSubstring("3.0 GiB"));
  REQUIRE_THAT(outcome(r, step, "/", false).words, ContainsSubstring("which mlops did not send"));
}

TEST_CASE("what could not be started is told with the reason") {
  const TempDir dir;
  ExitRecord r;
  r.cause = Cause::not_started;
  const auto words = [&](const std::string& program, int error, const std::string& directory) {
    r.error = error;
    return outcome(r, step_of(program), directory).words;
  };
  REQUIRE(words("train", ENOENT, dir.path()) ==
          "could not start 'train': no such program on PATH (/usr/bin:/bin)");
  REQUIRE(words("./train", ENOENT, dir.path()) == "could not start './train': no such file");
  util::write_file(dir / "train", "#!/no/such/shell\n");
  REQUIRE_THAT(words("./train", ENOENT, dir.path()),
               ContainsSubstring("the interpreter named in its first line"));
  REQUIRE_THAT(words("./train", EACCES, dir.path()), ContainsSubstring("chmod +x"));
  REQUIRE_THAT(words("./train", ENOEXEC, dir.path()), ContainsSubstring("#!/bin/sh"));
  REQUIRE_THAT(words("./train", E2BIG, dir.path()), ContainsSubstring("MLOPS_PARAMS"));
  REQUIRE_THAT(words("./train", ENOENT, dir / "gone"), ContainsSubstring("its working directory"));
}

TEST_CASE("the row of an attempt keeps what the record knows and no more") {
  ExitRecord r;
  r.key = {2, 3};
  r.cause = Cause::exited;
  r.code = 1;
  r.pid = 77;
  r.started_ms = 1'000;
  r.ended_ms = 2'500;
  r.user_us = 1'234'567;
  r.max_rss_kb = 10;
  r.left_over = 2;
  r.output_held = true;
  r.log_error = ENOSPC;
  const AttemptRecord a = record_of(r);
  REQUIRE(a.step == 2);
  REQUIRE(a.attempt == 3);
  REQUIRE(a.exit_code == 1);
  REQUIRE_FALSE(a.signal);
  REQUIRE(a.cpu_user_ms == 1'234);
  REQUIRE(a.max_rss_bytes == 10'240);
  REQUIRE_THAT(a.note, ContainsSubstring("held its output open") && ContainsSubstring("ended 2 process") &&
                           ContainsSubstring("log incomplete: No space left"));
  r.cause = Cause::lost;
  REQUIRE_FALSE(record_of(r).cpu_user_ms);
}
