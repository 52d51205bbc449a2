#include "keeper_bench.hpp"
#include "process/lock_file.hpp"
#include "process/process_tree.hpp"
#include "process/run_files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

using namespace mlops;
using namespace mlops::process;

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

TEST_CASE("secrets are masked in the log and in small files, also where a read ends within one") {
  Bench bench;
  StartRequest r = bench.request(
      "printf 'a s3cret-'; sleep 0.1; echo 'err s3cret-val' >&2; printf 'value b s3cr'; echo t=s3cret-value "
      "> small");
  r.secrets = {"s3cret-value", "short"};
  r.small_files = {bench.dir / "small", bench.dir / "missing"};
  const ExitRecord record = bench.run(r);
  const std::string log = bench.log();
  REQUIRE(log == "a err s3cret-val\n*** b s3cr");
  REQUIRE(record.log_bytes == log.size());
  REQUIRE(util::read_file(bench.dir / "small") == "t=***\n");
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
  REQUIRE(kill_by_environment({run_mark, "MLOPS_STEP=s0"}) == 0);
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
    REQUIRE(kill_by_environment({run_mark}) == 0);
  }
  SECTION("a daemon that has dropped its environment as well") {
    const ExitRecord record = bench.run(
        bench.request("env -i setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $! > daemon; sleep 0.1"));
    REQUIRE(record.succeeded());
    REQUIRE(record.left_over == 1);
    REQUIRE_FALSE(is_alive(std::stoi(util::read_file(bench.dir / "daemon"))));
  }
  SECTION("leave_running") {
    StartRequest r = bench.request("setsid sleep 1000 >/dev/null 2>&1 </dev/null & sleep 0.1");
    r.leave_running = true;
    const ExitRecord record = bench.run(r);
    REQUIRE(record.succeeded());
    REQUIRE(record.left_over == 0);
    REQUIRE(kill_by_environment({run_mark}) >= 1);
  }
}

TEST_CASE("steps get no descriptors, signals or terminal of ours") {
  Bench bench;
  const ExitRecord r = bench.run(bench.request(
      // Field 6 of stat is the session; sh's own name has no blanks.
      "ls /proc/self/fd | wc -l | tr -d ' '; echo $$ $(cut -d' ' -f5,6 /proc/$$/stat); [ -t 0 ] || echo "
      "no-tty;"
      "readlink /proc/self/fd/0; grep -E '^Sig(Blk|Ign)' /proc/self/status"));
  REQUIRE(r.succeeded());
  const std::string pid = std::to_string(r.pid);
  const std::string text = bench.log();
  const std::string expected = "4\n" +  // 0, 1, 2 and the one that ls opened
                               pid + " " + pid + " " + pid +
                               "\nno-tty\n/dev/null\nSigBlk:\t0000000000000000\nSigIgn:\t";
  REQUIRE(text.substr(0, expected.size()) == expected);
  // glibc's posix_spawn leaves its two internal signals (32 and 33) ignored; all others are back to default.
  const std::string ignored = text.substr(expected.size());
  REQUIRE((ignored == "0000000000000000\n" || ignored == "0000000180000000\n"));
}

TEST_CASE("steps work where and under the limits they were asked to") {
  rlimit files{}, core{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  ::getrlimit(RLIMIT_CORE, &core);
  const rlimit lower{std::min<rlim_t>(files.rlim_cur, 200), files.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &lower);
  const mode_t mask = ::umask(027);
  Bench bench;
  ::umask(mask);
  ::setrlimit(RLIMIT_NOFILE, &files);
  const ExitRecord r = bench.run(bench.request(
      "pwd; umask; grep -E 'open files|core file' /proc/self/limits | awk '{print $(NF-2), $(NF-1)}'"));
  REQUIRE(r.succeeded());
  const auto number = [](rlim_t limit) {
    return limit == RLIM_INFINITY ? std::string("unlimited") : std::to_string(limit);
  };
  REQUIRE(bench.log() == bench.dir.path() + "\n0027\n0 " + number(core.rlim_max) + "\n" +
                             number(lower.rlim_cur) + " " + number(lower.rlim_max) + "\n");
}

TEST_CASE("a step that goes on running holds no lock of ours") {
  TempDir dir;
  util::make_directories(dir / "logs");
  const std::string lock = dir / run_files::keeper_lock;
  {
    executors::Local local(fork_keeper(), {dir.path(), test_run});
    StartRequest r;
    r.name = "s0";
    r.key = {0, 1};
    r.argv = {"/bin/sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & sleep 0.1"};
    r.env = {run_mark};
    r.directory = dir.path();
    r.leave_running = true;
    local.start(r);
    for (bool ended = false; !ended;) {
      pollfd waiting{local.fd(), POLLIN, 0};
      REQUIRE(::poll(&waiting, 1, 20'000) == 1);
      for (const auto& event : local.receive())
        ended = ended || std::holds_alternative<executors::Ended>(event);
    }
    REQUIRE(LockFile::is_locked(lock));
  }
  REQUIRE_FALSE(LockFile::is_locked(lock));
  REQUIRE(kill_by_environment({run_mark}) == 1);
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
    executors::Local local(fork_keeper(), {dir.path(), test_run});
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
