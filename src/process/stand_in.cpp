#include "process/stand_in.hpp"

#include <mlops/error.hpp>

#include "util/time.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

namespace mlops::process {

namespace {

// Until one of these comes, or the monotonic time `end`; 0 then.
int wait_for_signal(const sigset_t& signals, std::optional<std::int64_t> end, siginfo_t& info) {
  if (!end) return ::sigwaitinfo(&signals, &info);
  const std::int64_t left = std::max<std::int64_t>(0, *end - util::monotonic_ms());
  const timespec limit{static_cast<time_t>(left / 1'000), static_cast<long>(left % 1'000 * 1'000'000)};
  const int signal = ::sigtimedwait(&signals, &info, &limit);
  return signal < 0 && errno == EAGAIN ? 0 : signal;
}

}  // namespace

std::optional<int> stand_in(std::chrono::milliseconds stop_within) {
  if (::getpid() != 1) return std::nullopt;
  sigset_t signals, before;
  ::sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  const pid_t child = ::fork();
  if (child < 0) throw_errno("cannot start a process", errno);
  if (child == 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return std::nullopt;
  }
  std::optional<std::int64_t> kill_ms;
  while (true) {
    siginfo_t info{};
    const int signal = wait_for_signal(signals, kill_ms, info);
    if (signal == 0) {
      kill_ms.reset();
      ::kill(child, SIGQUIT);
    }
    // A terminal has sent its own to the child as well.
    if (signal > 0 && signal != SIGCHLD && info.si_code != SI_KERNEL) ::kill(child, signal);
    if (signal == SIGTERM && !kill_ms) kill_ms = util::monotonic_ms() + stop_within.count();
    int status = 0;
    for (pid_t ended; (ended = ::waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
      if (WIFSTOPPED(status)) {
        if (ended == child) ::kill(child, SIGCONT);  // there is no shell that could let it go on
      } else if (ended == child) {
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
  }
}

}  // namespace mlops::process
