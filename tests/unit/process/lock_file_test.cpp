#include "process/lock_file.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"

#include <sys/wait.h>
#include <unistd.h>

using namespace mlops;
using namespace mlops::process;

namespace {

// A holder that is killed while it starts another process, which lives for so long before it is another program.
void leave_lock_to_child(const std::string& path, int child_ms) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto lock = LockFile::try_lock(path);
    if (::fork() == 0) ::usleep(static_cast<useconds_t>(child_ms) * 1000);
    ::_exit(lock ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(status == 0);
}

}  // namespace

TEST_CASE("a lock that only a half-started child of its dead holder has is free in a moment") {
  TempDir dir;
  const std::string path = dir / "lock";
  SECTION("who looks waits for it") {
    leave_lock_to_child(path, 100);
    REQUIRE_FALSE(LockFile::is_locked(path));
  }
  SECTION("who wants it waits for it") {
    leave_lock_to_child(path, 100);
    REQUIRE(LockFile::try_lock(path).has_value());
  }
  SECTION("but not for ever") {
    leave_lock_to_child(path, 5'000);
    REQUIRE(LockFile::is_locked(path));
    REQUIRE_FALSE(LockFile::try_lock(path).has_value());
  }
}

TEST_CASE("a lock of who lives is told of at once") {
  TempDir dir;
  const auto lock = LockFile::try_lock(dir / "lock");
  REQUIRE(LockFile::is_locked(dir / "lock"));
  REQUIRE_FALSE(LockFile::try_lock(dir / "lock").has_value());
  REQUIRE(LockFile::holder(dir / "lock")->pid == ::getpid());
}
