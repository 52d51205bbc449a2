// The processes below a keeper, told apart by attempt: the group of the step, its descendants, and those that
// left both but still carry its environment.
#pragma once

#include "process/process_tree.hpp"
#include "process/running_attempt.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace mlops::process {

/// For a process that is a subreaper: orphans below it become its children.
class KeptProcesses {
 public:
  /// A step's main process, from its start until it has been waited for, and the number of its attempt.
  void add_main(pid_t pid, std::uint64_t attempt) { mains_.emplace(pid, attempt); }
  /// From now on what belongs to no attempt that runs may be there on purpose.
  void leave_running() { some_stay_ = true; }
  void remove_main(pid_t pid) { mains_.erase(pid); }
  std::optional<std::uint64_t> attempt_of_main(pid_t pid) const;

  void signal_all(const RunningAttempt& attempt, int signal) const;

  /// Of an attempt whose main process has ended, but has not been waited for: how many others still live.
  int count_left(const RunningAttempt& attempt) const;

  /// Waits for orphans that have ended; main processes are left to their attempts.
  void reap_orphans() const;

 private:
  std::vector<pid_t> orphans() const;
  std::vector<Descendant> strays(const RunningAttempt& attempt) const;

  std::unordered_map<pid_t, std::uint64_t> mains_;
  bool some_stay_ = false;
};

/// True once the child `pid` can be waited for. It stays so.
bool has_ended(pid_t pid);

/// A child that has ended and was not waited for yet, or 0.
pid_t some_ended_child();

}  // namespace mlops::process
