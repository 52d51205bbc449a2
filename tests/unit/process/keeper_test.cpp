#include "process/keeper.hpp"

#include "catch.hpp"
#include "executors/local.hpp"
#include "process/process_tree.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#include <chrono>

using namespace mlops;
using namespace mlops::process;

namespace {

/// A keeper in a run directory of its own.
struct Bench {
  TempDir dir;
  executors::Local local;

  Bench() : local(make_keeper(dir), {dir.path(), "run1"}) {}

  static KeeperProcess make_keeper(const TempDir& dir) {
    util::make_directories(dir / "logs");
    return fork_keeper();
  }

  StartRequest request(const std::string& script, int step = 0) {
    StartRequest r;
    r.key = {step, 1};
    r.name = "s" + std::to_string(step);
    r.argv = {"/bin/sh", "-c", script};
    r.directory = dir.path();
    r.env = {"MLOPS_RUN_ID=run1", "MLOPS_STEP=" + r.name, "MLOPS_ATTEMPT=1"};
    r.grace_ms = 500;
    return r;
  }

  ExitRecord wait(int limit_ms = 20'000) {
    const std::int64_t end = util::monotonic_ms() + limit_ms;
    while (util::monotonic_ms() < end) {
      pollfd waiting{local.fd(), POLLIN, 0};
      ::poll(&waiting, 1, 100);
      for (const auto& event : local.receive()) {
        if (const auto* ended = std::get_if<executors::Ended>(&event)) return ended->record;
        if (std::holds_alternative<executors::OutputGrew>(event)) local.output_read();
        if (std::holds_alternative<executors::KeeperDied>(event)) FAIL("the keeper died");
      }
    }
    FAIL("no end in time");
    return {};
  }

  ExitRecord run(const StartRequest& r) {
    local.start(r);
    return wait();
  }
};

}  // namespace

TEST_CASE("the keeper reports exit codes, signals and what cannot be started") {
  Bench bench;
  REQUIRE(bench.run(bench.request("exit 0")).succeeded());
  REQUIRE(bench.run(bench.request("exit 7")).code == 7);
  const ExitRecord killed = bench.run(bench.request("kill -9 $$"));
  REQUIRE(killed.signal == SIGKILL);
  REQUIRE(killed.code == -1);
  StartRequest missing = bench.request("");
  missing.argv = {"no-such-program-xyz"};
  const ExitRecord r = bench.run(missing);
  REQUIRE(r.cause == Cause::not_started);
  REQUIRE(r.error == ENOENT);
  StartRequest nowhere = bench.request("true");
  nowhere.directory = bench.dir / "nowhere";
  REQUIRE(bench.run(nowhere).cause == Cause::not_started);
  REQUIRE(parse_journal(util::read_file(bench.dir / "attempts")).size() ==
          1);  // one key, used again and again
}

TEST_CASE("output is kept byte for byte with its streams told apart") {
  Bench bench;
  const ExitRecord r = bench.run(bench.request("printf 'a\\000\\377b'; sleep 0.05; printf err >&2"));
  REQUIRE(r.log_bytes == 7);
  REQUIRE(util::read_file(bench.dir / "logs/s0.1.log") == std::string("a\0\xff"
                                                                      "berr",
                                                                      7));
  const std::string index = util::read_file(bench.dir / "output.idx");
  REQUIRE_THAT(index, ContainsSubstring("0.1 0 o "));
  REQUIRE_THAT(index, ContainsSubstring("0.1 4 e "));
}

TEST_CASE("a time-out ends the whole tree: TERM, grace, KILL") {
  Bench bench;
  StartRequest r = bench.request(
      "trap '' TERM; (trap '' TERM; exec sleep 1000) & setsid sleep 1000 & echo $!; sleep 1000; sleep 1000");
  r.timeout_ms = 200;
  const std::int64_t start = util::monotonic_ms();
  const ExitRecord record = bench.run(r);
  REQUIRE(record.cause == Cause::timeout);
  REQUIRE(util::monotonic_ms() - start >= 600);
  REQUIRE(util::monotonic_ms() - start < 5'000);
  REQUIRE(kill_by_environment({"MLOPS_RUN_ID=run1", "MLOPS_STEP=s0"}) == 0);
}

TEST_CASE("silence has a limit of its own") {
  Bench bench;
  StartRequest r = bench.request("for i in 1 2 3 4; do echo $i; sleep 0.1; done; sleep 1000");
  r.no_output_ms = 300;
  const ExitRecord record = bench.run(r);
  REQUIRE(record.cause == Cause::no_output);
  REQUIRE(record.log_bytes == 8);
}

TEST_CASE("what a step leaves behind is ended, unless it may stay") {
  Bench bench;
  SECTION("a background process that holds the output") {
    const std::int64_t start = util::monotonic_ms();
    const ExitRecord record = bench.run(bench.request("sleep 1000 & echo done"));
    REQUIRE(record.succeeded());
    REQUIRE(record.output_held);
    REQUIRE(record.left_over >= 1);
    REQUIRE(util::monotonic_ms() - start < 4'000);
  }
  SECTION("a daemon in a session of its own with its output elsewhere") {
    const ExitRecord record =
        bench.run(bench.request("setsid sleep 1000 >/dev/null 2>&1 </dev/null & sleep 0.1"));
    REQUIRE(record.succeeded());
    REQUIRE(record.left_over >= 1);
    REQUIRE(kill_by_environment({"MLOPS_RUN_ID=run1"}) == 0);
  }
  SECTION("leave_running") {
    StartRequest r = bench.request("setsid sleep 1000 >/dev/null 2>&1 </dev/null & sleep 0.1");
    r.leave_running = true;
    const ExitRecord record = bench.run(r);
    REQUIRE(record.succeeded());
    REQUIRE(record.left_over == 0);
    REQUIRE(kill_by_environment({"MLOPS_RUN_ID=run1"}) >= 1);
  }
}

TEST_CASE("steps get no descriptors, signals or terminal of ours") {
  Bench bench;
  const ExitRecord r = bench.run(bench.request(
      "ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o sid=,pgid= -p $$ "
      "2>/dev/null | "
      "awk '{print ($1==$2) ? \"own\" : \"shared\"}'; [ -t 0 ] || echo no-tty; readlink /proc/self/fd/0"));
  REQUIRE(r.succeeded());
  const std::string text = util::read_file(bench.dir / "logs/s0.1.log");
  REQUIRE_THAT(text, ContainsSubstring("4\n"));  // 0, 1, 2 and the one that ls opened
  REQUIRE_THAT(text, ContainsSubstring("SigBlk:\t0000000000000000"));
  // glibc's posix_spawn leaves its two internal signals (32 and 33) ignored; all others are back to default.
  const bool none_ignored = text.find("SigIgn:\t0000000000000000") != text.npos ||
                            text.find("SigIgn:\t0000000180000000") != text.npos;
  REQUIRE(none_ignored);
  REQUIRE_THAT(text, ContainsSubstring("no-tty"));
  REQUIRE_THAT(text, ContainsSubstring("/dev/null"));
}

TEST_CASE("a paused attempt does not run and its clock stands still") {
  Bench bench;
  StartRequest r = bench.request("for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done");
  r.timeout_ms = 1'500;
  bench.local.start(r);
  ::usleep(200'000);
  bench.local.pause();
  ::usleep(100'000);
  const std::string before = util::read_file(bench.dir / "logs/s0.1.log");
  ::usleep(2'000'000);
  REQUIRE(util::read_file(bench.dir / "logs/s0.1.log") == before);
  bench.local.resume();
  REQUIRE(bench.wait().succeeded());
}

TEST_CASE("steps go on and their ends are recorded when nobody is left to hear of it") {
  TempDir dir;
  util::make_directories(dir / "logs");
  {
    executors::Local local(fork_keeper(), {dir.path(), "run1"});
    StartRequest r;
    r.key = {0, 1};
    r.name = "s0";
    r.argv = {"/bin/sh", "-c", "sleep 0.3; echo late; exit 5"};
    r.directory = dir.path();
    local.start(r);
    ::usleep(50'000);
  }
  std::string journal;
  for (int i = 0; i < 100; ++i) {
    journal = util::read_file(dir / "attempts");
    if (journal.find("end ") != journal.npos) break;
    ::usleep(50'000);
  }
  const auto entries = parse_journal(journal);
  REQUIRE(entries.size() == 1);
  REQUIRE(entries[0].end.has_value());
  REQUIRE(entries[0].end->code == 5);
  REQUIRE(util::read_file(dir / "logs/s0.1.log") == "late\n");
}
