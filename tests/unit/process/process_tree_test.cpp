#include "process/process_tree.hpp"

#include "catch.hpp"
#include "process/spawn.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlops;
using namespace mlops::process;

namespace {
const std::string mark = "MLOPS_RUN_ID=hop-" + std::to_string(::getpid());
}  // namespace

TEST_CASE("processes that fork faster than one looks are all found by their environment") {
  TempDir dir;
  // Each starts its successor and ends.
  util::write_file(dir / "hop.sh", "sleep 0.02\nsh \"$0\" &\n");
  const util::Fd null = util::open_file("/dev/null", O_RDWR);
  const std::vector<const char*> env = {"PATH=/usr/bin:/bin", mark.c_str(), nullptr};
  const pid_t pid = spawn("/bin/sh", {"sh", "-c", "sh hop.sh; exec sleep 1000"}, env, dir.path(), null.get(),
                          null.get(), null.get());
  REQUIRE(pid > 0);
  ::usleep(100'000);
  REQUIRE(kill_by_environment({mark}) >= 1);
  ::waitpid(pid, nullptr, 0);
  ::usleep(100'000);
  REQUIRE(kill_by_environment({mark}) == 0);
}

TEST_CASE("a zombie is not alive") {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
  REQUIRE_FALSE(is_alive(pid));
  ::waitpid(pid, nullptr, 0);
  REQUIRE_FALSE(is_alive(pid));
  REQUIRE(is_alive(::getpid()));
}

TEST_CASE("a process that has another parent than when it was found is somebody else's, and not signalled") {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  REQUIRE_FALSE(signal_descendant({pid, ::getppid()}, SIGKILL));
  REQUIRE(is_alive(pid));
  REQUIRE(signal_descendant({pid, ::getpid()}, SIGKILL));
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
  REQUIRE_FALSE(signal_descendant({pid, ::getpid()}, SIGKILL));
}
