#include "process/kept_processes.hpp"

#include "process/process_tree.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

namespace mlops::process {

// Our children that are no step's main process.
std::vector<pid_t> KeptProcesses::orphans() const {
  std::vector<pid_t> found = children_of(::getpid());
  std::erase_if(found, [&](pid_t pid) { return mains_.contains(pid); });
  return found;
}

void KeptProcesses::signal_all(const RunningAttempt& attempt, int signal) const {
  signal_tree(attempt.pid, signal);
  for (const pid_t pid : orphans()) {
    if (::getpgid(pid) == attempt.pid || !has_environment(pid, attempt.cookie)) continue;
    signal_tree(pid, signal);
    ::kill(pid, signal);
  }
}

bool KeptProcesses::anything_left(const RunningAttempt& attempt) const {
  // The number of the group cannot pass to another while a member lives.
  if (::kill(-attempt.pid, 0) == 0) return true;
  const std::vector<pid_t> others = orphans();
  return std::any_of(others.begin(), others.end(),
                     [&](pid_t pid) { return has_environment(pid, attempt.cookie); });
}

int KeptProcesses::count_left(const RunningAttempt& attempt) const {
  int count = 0;
  for (const pid_t pid : orphans()) {
    if (::getpgid(pid) != attempt.pid && !has_environment(pid, attempt.cookie)) continue;
    count += 1 + static_cast<int>(descendants_of(pid).size());
  }
  return std::max(count, 1);
}

void KeptProcesses::reap_orphans() const {
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
  for (const pid_t pid : orphans()) ::waitpid(pid, nullptr, WNOHANG);
}

}  // namespace mlops::process
