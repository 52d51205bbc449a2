#include "process/capture.hpp"

#include "process/spawn.hpp"
#include "util/fd.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

extern char** environ;

namespace mlops::process {

bool wait_for_child(int pid, std::int64_t end, int& status) {
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

namespace {

constexpr std::size_t most = 1 << 20;

// Reads what comes until the output ends, or with `process` until that has ended; false if neither is so by
// `end`.
bool read_output(int out, int process, std::int64_t end, std::string& text) {
  while (true) {
    pollfd waiting[2] = {{out, POLLIN, 0}, {process, POLLIN, 0}};
    const std::int64_t left = end - util::monotonic_ms();
    const int ready = left <= 0 ? 0 : ::poll(waiting, 2, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    if (waiting[0].revents == 0) return true;
    char buffer[65536];  // as much as a pipe holds
    const ssize_t n = ::read(out, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    if (text.size() < most) text.append(buffer, static_cast<std::size_t>(n));
    if (waiting[1].revents != 0) return true;
  }
}

// Runs `program`; with `errors` its standard error is among what is returned, and what it leaves running is
// not waited for.
Captured run(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
             const std::vector<std::string>& env, int input, bool errors) {
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
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view name = std::string_view(*entry).substr(0, std::string_view(*entry).find('=') + 1);
    if (std::ranges::none_of(env, [&](const std::string& own) { return own.starts_with(name); }))
      environment.push_back(*entry);
  }
  for (const std::string& entry : env) environment.push_back(entry.c_str());
  environment.push_back(nullptr);
  const pid_t pid = spawn(program, argv, environment, directory, in.get(), errors ? in.get() : null.get(),
                          input >= 0 ? input : null.get());
  in.reset();
  if (pid < 0) {
    result.error = std::strerror(-pid);
    return result;
  }
  const std::int64_t end = util::monotonic_ms() + limit_ms;
  const util::Fd process(errors ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
  // The end of the output need not be the end of the command.
  int status = 0;
  const bool late =
      !read_output(out.get(), process.get(), end, result.out) || !wait_for_child(pid, end, status);
  if (late) {
    ::kill(-pid, SIGKILL);
    result.error = "did not end within " + std::to_string(limit_ms / 1000) + " s";
    // One that hangs in the kernel is not waited for any longer.
    wait_for_child(pid, util::monotonic_ms() + 1'000, status);
  }
  if (!late && WIFEXITED(status)) result.code = WEXITSTATUS(status);
  return result;
}

}  // namespace

Captured capture(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
                 const std::vector<std::string>& env) {
  return run(argv, directory, limit_ms, env, -1, false);
}

Captured capture_with_input(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
                            const std::vector<std::string>& env, const std::string& input) {
  // A file in memory, not a pipe: nobody has to feed it.
  const util::Fd in(::memfd_create("input", MFD_CLOEXEC));
  if (!in || util::write_all(in.get(), input) != 0 || ::lseek(in.get(), 0, SEEK_SET) != 0) {
    Captured result;
    result.error = std::strerror(errno);
    return result;
  }
  return run(argv, directory, limit_ms, env, in.get(), true);
}

}  // namespace mlops::process
