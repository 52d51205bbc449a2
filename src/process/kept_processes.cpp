#include "process/kept_processes.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

namespace mlops::process {

std::optional<std::uint64_t> KeptProcesses::attempt_of_main(pid_t pid) const {
  const auto it = mains_.find(pid);
  return it == mains_.end() ? std::nullopt : std::optional(it->second);
}

// Our children that are no step's main process. Only we wait for them, so their numbers stay theirs.
std::vector<pid_t> KeptProcesses::orphans() const {
  std::vector<pid_t> found = children_of(::getpid());
  std::erase_if(found, [&](pid_t pid) { return mains_.contains(pid); });
  return found;
}

// What belongs to the attempt and is no longer below its main process. That one leads a session, whose number
// cannot pass to another until we have waited for it. A process that has left the session and dropped the
// environment tells nobody whose it is; it is the only attempt's, or an earlier one's, which is as good a
// reason.
std::vector<Descendant> KeptProcesses::strays(const RunningAttempt& attempt) const {
  const auto ours = [&](pid_t pid) {
    return ::getsid(pid) == attempt.pid || has_environment(pid, attempt.cookie);
  };
  const bool only_one = mains_.size() == 1 && !some_stay_;
  std::vector<Descendant> found;
  for (const pid_t orphan : orphans()) {
    const bool whole = only_one || ours(orphan);
    if (whole) found.push_back({orphan, ::getpid()});
    for (const Descendant& process : descendants_of(orphan)) {
      if (whole || ours(process.pid)) found.push_back(process);
    }
  }
  return found;
}

void KeptProcesses::signal_all(const RunningAttempt& attempt, int signal) const {
  std::vector<pid_t> members = attempt.group.processes();
  std::ranges::sort(members);
  if (signal == SIGKILL) attempt.group.kill();
  if (members.empty() || signal == SIGKILL) {
    signal_tree(attempt.pid, signal);
  } else {
    attempt.group.signal(signal);
  }
  for (const Descendant& process : strays(attempt)) {
    if (::getpgid(process.pid) != attempt.pid && !std::ranges::binary_search(members, process.pid))
      signal_descendant(process, signal);
  }
}

int KeptProcesses::count_left(const RunningAttempt& attempt) const {
  std::set<pid_t> left;
  for (const pid_t pid : attempt.group.processes()) left.insert(pid);
  for (const Descendant& process : strays(attempt)) left.insert(process.pid);
  return static_cast<int>(std::ranges::count_if(left, [](pid_t pid) { return is_alive(pid); }));
}

void KeptProcesses::reap_orphans() const {
  for (const pid_t pid : orphans()) ::waitpid(pid, nullptr, WNOHANG);
}

bool has_ended(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid;
}

pid_t some_ended_child() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : 0;
}

}  // namespace mlops::process
