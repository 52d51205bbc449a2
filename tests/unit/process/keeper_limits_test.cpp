// What befalls a keeper on a bad day: no descriptors, small limits, processes that do not end, foreign words.
#include "keeper_bench.hpp"
#include "process/control_group.hpp"
#include "process/process_tree.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <map>

using namespace mlops;
using namespace mlops::process;

namespace {

void limit(int what, rlim_t value) {
  const rlimit both{value, value};
  ::setrlimit(static_cast<__rlimit_resource>(what), &both);
}

char state_of(pid_t pid) {
  const std::string stat = util::read_file_if_exists("/proc/" + std::to_string(pid) + "/stat").value_or("");
  const std::size_t close = stat.rfind(')');
  return close == stat.npos ? '-' : stat[close + 2];
}

pid_t number_in(const std::string& path) {
  for (int i = 0; i < 200; ++i) {
    const std::string text = util::read_file_if_exists(path).value_or("");
    if (text.ends_with('\n')) return static_cast<pid_t>(std::stol(text));
    ::usleep(10'000);
  }
  return 0;
}

// Makes a system call fail, in this process and those that it starts.
bool forbid(long call, int error) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{4, program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// As where no control group may be made: no process can be started in one.
bool forbid_groups() { return forbid(SYS_clone3, ENOSYS); }

}  // namespace

TEST_CASE("a keeper without descriptors refuses an attempt and goes on") {
  REQUIRE(in_child([] {
    limit(RLIMIT_NOFILE, 32);
    Bench bench;
    for (int i = 0; i < 20; ++i) bench.local.start(bench.request("sleep 0.5", i));
    int good = 0, refused = 0;
    for (int i = 0; i < 20; ++i) {
      const ExitRecord r = bench.wait();
      good += r.succeeded();
      refused += r.cause == Cause::not_started && r.error == EMFILE;
    }
    return good >= 5 && refused >= 5 && good + refused == 20 && bench.run(bench.request("exit 4")).code == 4;
  }));
}

TEST_CASE("400 attempts at a time fit into 1,024 descriptors") {
  REQUIRE(in_child([] {
    limit(RLIMIT_NOFILE, 1'024);
    Bench bench;
    for (int i = 0; i < 400; ++i)
      bench.local.start(bench.request("echo a; while ! [ -e go ]; do sleep 0.3; done; echo b", i));
    ::usleep(1'000'000);
    util::write_file(bench.dir / "go", "");
    int good = 0;
    for (int i = 0; i < 400; ++i) good += bench.wait().succeeded();
    int logs = 0;
    for (int i = 0; i < 400; ++i) logs += bench.log(i) == "a\nb\n";
    return good == 400 && logs == 400;
  }));
}

TEST_CASE("a limit of file sizes costs the rest of a log, not the keeper") {
  REQUIRE(in_child([] {
    limit(RLIMIT_FSIZE, 65'536);
    Bench bench;
    const ExitRecord r = bench.run(bench.request("head -c 200000 /dev/zero; exit 3"));
    return r.code == 3 && r.log_error == EFBIG && r.log_bytes == 200'000 &&
           r.log_dropped == 200'000 - 65'536 && bench.log().size() == 65'536 &&
           bench.run(bench.request("exit 5", 1)).code == 5;
  }));
}

TEST_CASE("a zombie that a foreign process keeps in the step's group does not hold up the end") {
  REQUIRE(in_child([] {
    if (!forbid_groups()) return true;  // nothing to try it with
    Bench bench;
    // From now on what nobody can tell the attempt of is let live.
    StartRequest stays = bench.request("true");
    stays.leave_running = true;
    if (!bench.run(std::move(stays)).succeeded()) return false;
    // The subshell leaves the group and the environment, but stays the parent of a child that has ended.
    const std::int64_t start = util::monotonic_ms();
    const ExitRecord r = bench.run(bench.request(
        "(sleep 0.1 & exec env -i setsid sleep 1000) >/dev/null 2>&1 & echo $! > foreign; sleep 0.4", 1));
    const std::int64_t took = util::monotonic_ms() - start;
    const pid_t foreign = number_in(bench.dir / "foreign");
    const bool lives = state_of(foreign) == 'S';
    ::kill(foreign, SIGKILL);
    return r.succeeded() && r.left_over == 0 && took < 3'000 && lives;
  }));
}

TEST_CASE("what leaves its session and its environment ends with its control group") {
  if (!can_make_control_groups()) {
    WARN("no control group may be made here: not tested");
    return;
  }
  Bench bench;
  StartRequest stays = bench.request("true");
  stays.leave_running = true;
  REQUIRE(bench.run(std::move(stays)).succeeded());
  const ExitRecord r = bench.run(
      bench.request("(exec env -i setsid sleep 1000) >/dev/null 2>&1 & echo $! > foreign; sleep 0.4", 1));
  REQUIRE(r.succeeded());
  REQUIRE(r.left_over == 1);
  REQUIRE_FALSE(is_alive(number_in(bench.dir / "foreign")));
}

TEST_CASE("what SIGKILL does not end is given up, and the record says so") {
  REQUIRE(in_child([] {
    if (!forbid_groups() || !forbid(SYS_kill, EPERM)) return true;  // nothing to try it with
    Bench bench;
    const std::int64_t start = util::monotonic_ms();
    const ExitRecord r = bench.run(bench.request("sleep 15 >/dev/null 2>&1 & exit 6"));
    const std::int64_t took = util::monotonic_ms() - start;
    const auto entries = parse_journal(util::read_file(bench.dir / "attempts"));
    return r.code == 6 && r.left_over == 1 && r.not_ended == 1 && took > 4'000 && took < 12'000 &&
           entries.at(0).end && entries.at(0).end->not_ended == 1;
  }));
  kill_by_environment({run_mark});
}

TEST_CASE("the number of a step's process is not free before the attempt is over") {
  Bench bench;
  StartRequest request = bench.request(
      "(trap '' TERM; sleep 1000) >/dev/null 2>&1 & echo $$ > pid; i=0; while [ $i -lt 100000 ]; do "
      "i=$((i+1)); "
      "done; exit 3");
  request.grace_ms = 1'000;
  bench.local.start(request);
  const pid_t pid = number_in(bench.dir / "pid");
  bool zombie = false;
  for (int i = 0; i < 300 && !zombie; ++i, ::usleep(10'000)) zombie = state_of(pid) == 'Z';
  ::usleep(100'000);
  REQUIRE(zombie);
  REQUIRE(state_of(pid) == 'Z');
  const ExitRecord r = bench.wait();
  REQUIRE(state_of(pid) == '-');
  REQUIRE(r.code == 3);
  REQUIRE(r.pid == pid);
  REQUIRE(r.left_over >= 1);
  REQUIRE(r.user_us + r.system_us > 1'000);
  REQUIRE(r.max_rss_kb > 0);
  REQUIRE(r.not_ended == 0);
}

TEST_CASE("ends are seen behind a main process that waits for its attempt") {
  Bench bench;
  StartRequest slow = bench.request("(trap '' TERM; sleep 1000) >/dev/null 2>&1 & exit 1", 0);
  slow.grace_ms = 1'500;
  bench.local.start(slow);
  ::usleep(200'000);
  for (int i = 1; i <= 3; ++i) bench.local.start(bench.request("sleep 0.1; exit 4", i));
  std::map<int, int> codes;
  while (codes.size() < 4) {
    const ExitRecord record = bench.wait();
    codes[record.key.step] = record.code;
  }
  REQUIRE(codes == std::map<int, int>{{0, 1}, {1, 4}, {2, 4}, {3, 4}});
}

TEST_CASE("a runner that ignores SIGCHLD costs no exit code") {
  REQUIRE(in_child([] {
    ::signal(SIGCHLD, SIG_IGN);
    Bench bench;
    return bench.run(bench.request("exit 7")).code == 7;
  }));
}

TEST_CASE("a keeper takes a runner that talks nonsense for dead, and its steps go on") {
  for (const std::string& nonsense : {std::string("\xff\xff\xff\xff", 4), std::string("\x01\0\0\0\x01", 5),
                                      std::string("\x01\0\0\0\xc8", 5)}) {
    TempDir dir;
    util::make_directories(dir / "logs");
    KeeperProcess keeper = fork_keeper();
    REQUIRE(send_place(keeper.socket.get(), {dir.path(), test_run}));
    StartRequest r;
    r.key = {0, 1};
    r.name = "s0";
    r.argv = {"/bin/sh", "-c", "sleep 0.3; exit 5"};
    r.directory = dir.path();
    Writer message(MessageType::start);
    put_request(message, r);
    const std::string bytes = message.finish() + nonsense;
    REQUIRE(::send(keeper.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    int status = -1;
    REQUIRE(::waitpid(keeper.pid, &status, 0) == keeper.pid);
    REQUIRE(status == 0);
    const auto entries = parse_journal(util::read_file(dir / "attempts"));
    REQUIRE(entries.size() == 1);
    REQUIRE(entries[0].end->code == 5);
  }
}

TEST_CASE("a runner takes a keeper that talks nonsense for dead") {
  for (const std::string& nonsense : {std::string("\xff\xff\xff\xff", 4), std::string("\x02\0\0\0\x42!", 6),
                                      std::string("\x01\0\0\0\x01", 5)}) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const util::Fd other(ends[1]);
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    KeeperProcess keeper{util::Fd(ends[0]), pid};
    executors::Local local(std::move(keeper), {"/nowhere", test_run});
    REQUIRE(::send(other.get(), nonsense.data(), nonsense.size(), 0) ==
            static_cast<ssize_t>(nonsense.size()));
    const auto events = local.receive();
    REQUIRE(events.size() == 1);
    REQUIRE(std::holds_alternative<executors::KeeperDied>(events[0]));
  }
}

TEST_CASE("a keeper that was killed before it heard of its run is told of as one that died") {
  KeeperProcess keeper = fork_keeper();
  REQUIRE(::kill(keeper.pid, SIGKILL) == 0);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(keeper.pid), &info, WEXITED | WNOWAIT) == 0);
  executors::Local local(std::move(keeper), {"/nowhere", test_run});
  StartRequest request;
  request.name = "s0";
  request.key = {0, 1};
  local.start(request);  // nothing waits for a keeper that never gets ready
  const auto events = local.receive();
  REQUIRE(events.size() == 1);
  REQUIRE(std::holds_alternative<executors::KeeperDied>(events[0]));
}
