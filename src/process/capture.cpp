#include "process/capture.hpp"

#include "process/spawn.hpp"
#include "util/fd.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace mlops::process {

namespace {

// Waits for the child `pid` until the monotonic time `end`; false if it has not ended by then.
bool wait_until(pid_t pid, std::int64_t end, int& status) {
  const util::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  while (true) {
    const pid_t got = ::waitpid(pid, &status, WNOHANG);
    if (got == pid || (got < 0 && errno != EINTR)) return got == pid;
    const std::int64_t left = end - util::monotonic_ms();
    if (left <= 0) return false;
    // Without a pidfd, for want of descriptors, poll is but a short sleep.
    pollfd waiting{process.get(), POLLIN, 0};
    ::poll(&waiting, 1, static_cast<int>(process ? left : std::min<std::int64_t>(left, 10)));
  }
}

}  // namespace

Captured capture(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
                 const std::vector<std::string>& env) {
  constexpr std::size_t most = 1 << 20;
  Captured result;
  const char* path = std::getenv("PATH");
  const std::string program = find_program(argv[0], path ? path : "/usr/local/bin:/usr/bin:/bin", directory);
  if (program.empty()) {
    result.error = "no program '" + argv[0] + "' on PATH";
    return result;
  }
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    result.error = std::strerror(errno);
    return result;
  }
  const util::Fd out(ends[0]);
  util::Fd in(ends[1]);
  const util::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  std::vector<const char*> environment;
  for (char** entry = environ; *entry; ++entry) environment.push_back(*entry);
  for (const std::string& entry : env) environment.push_back(entry.c_str());
  environment.push_back(nullptr);
  const pid_t pid = spawn(program, argv, environment, directory, in.get(), null.get(), null.get());
  in.reset();
  if (pid < 0) {
    result.error = std::strerror(-pid);
    return result;
  }
  const std::int64_t end = util::monotonic_ms() + limit_ms;
  bool late = false;
  while (true) {
    pollfd waiting{out.get(), POLLIN, 0};
    const std::int64_t left = end - util::monotonic_ms();
    const int ready = left <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      late = true;
      break;
    }
    char buffer[4096];
    const ssize_t n = ::read(out.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (result.out.size() < most) result.out.append(buffer, static_cast<std::size_t>(n));
  }
  // The end of the output need not be the end of the command.
  int status = 0;
  late = late || !wait_until(pid, end, status);
  if (late) {
    ::kill(-pid, SIGKILL);
    result.error = "did not end within " + std::to_string(limit_ms / 1000) + " s";
    // One that hangs in the kernel is not waited for any longer.
    wait_until(pid, util::monotonic_ms() + 1'000, status);
  }
  if (!late && WIFEXITED(status)) result.code = WEXITSTATUS(status);
  return result;
}

}  // namespace mlops::process
