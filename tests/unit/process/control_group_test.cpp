#include "process/control_group.hpp"

#include "catch.hpp"
#include "process/spawn.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

using namespace mlops;
using namespace mlops::process;

namespace {

// Each starts its successor, in a session of its own and without environment, and ends.
const char* hop = "sleep 0.02\nenv -i PATH=/usr/bin:/bin setsid sh \"$0\" > /dev/null 2>&1 &\n";

std::string own_prefix() { return "mlops.test" + std::to_string(::getpid()) + "."; }

pid_t start(const ControlGroup& group, const TempDir& dir, const std::string& script) {
  const util::Fd null = util::open_file("/dev/null", O_RDWR);
  return spawn_in_group(group.open().get(), "/bin/sh", {"sh", "-c", script}, {"PATH=/usr/bin:/bin", nullptr},
                        dir.path(), null.get(), null.get(), null.get(), nullptr, -1);
}

bool soon_empty(const ControlGroup& group) {
  for (int looks = 0; looks < 200 && !group.processes().empty(); ++looks) ::usleep(10'000);
  return group.processes().empty();
}

}  // namespace

TEST_CASE("a program that cannot be started in a group is an error, not a process") {
  TempDir dir;
  const ControlGroup group(own_prefix() + "1");
  const util::Fd null = util::open_file("/dev/null", O_RDWR);
  const auto spawned = [&](const std::string& program, const std::string& directory) {
    return spawn_in_group(group.open().get(), program, {program}, {nullptr}, directory, null.get(),
                          null.get(), null.get(), nullptr, -1);
  };
  REQUIRE(spawned("/no/such/program", dir.path()) == -ENOENT);
  REQUIRE(spawned("/bin/true", dir / "nowhere") == -ENOENT);
  REQUIRE(spawned(dir.path(), dir.path()) == -EACCES);
  REQUIRE(::waitpid(-1, nullptr, WNOHANG) == -1);
  const pid_t pid = spawned("/bin/true", dir.path());
  REQUIRE(pid > 0);
  int status = -1;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(status == 0);
}

TEST_CASE("nothing leaves its control group, and all of it is killed at once") {
  if (!can_make_control_groups()) {
    WARN("no control group may be made here: not tested");
    return;
  }
  TempDir dir;
  util::write_file(dir / "hop.sh", hop);
  const ControlGroup group(own_prefix() + "2");
  REQUIRE(group);
  const pid_t pid = start(group, dir, "env -i setsid sleep 1000 & sh hop.sh; exec sleep 1000");
  REQUIRE(pid > 0);
  for (int looks = 0; looks < 200 && group.processes().size() < 3; ++looks) ::usleep(10'000);
  const auto processes = group.processes();
  REQUIRE(processes.size() >= 3);
  REQUIRE(std::ranges::find(processes, pid) != processes.end());
  REQUIRE(std::ranges::find(processes, ::getpid()) == processes.end());
  group.kill();
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
  REQUIRE(soon_empty(group));
}

TEST_CASE("what a keeper has left in its groups is ended, and nothing else") {
  if (!can_make_control_groups()) return;
  TempDir dir;
  ControlGroup left(own_prefix() + "left.1");
  const ControlGroup other(own_prefix() + "other.1");
  const pid_t lost = start(left, dir, "exec sleep 1000"), kept = start(other, dir, "exec sleep 1000");
  REQUIRE(lost > 0);
  REQUIRE(kept > 0);
  REQUIRE(kill_control_groups(own_prefix() + "left.") == 1);
  REQUIRE(::waitpid(lost, nullptr, 0) == lost);
  REQUIRE(other.processes() == std::vector<pid_t>{kept});
  other.signal(SIGTERM);
  REQUIRE(::waitpid(kept, nullptr, 0) == kept);
}
