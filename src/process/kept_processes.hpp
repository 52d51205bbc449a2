// The processes below a keeper, told apart by attempt: the group of the step, its descendants, and those that
// left both but still carry its environment.
#pragma once

#include "process/running_attempt.hpp"

#include <sys/types.h>

#include <unordered_set>
#include <vector>

namespace mlops::process {

/// For a process that is a subreaper: orphans below it become its children.
class KeptProcesses {
 public:
  /// A step's main process, from its start until it has been waited for.
  void add_main(pid_t pid) { mains_.insert(pid); }
  void remove_main(pid_t pid) { mains_.erase(pid); }

  void signal_all(const RunningAttempt& attempt, int signal) const;

  bool anything_left(const RunningAttempt& attempt) const;
  /// At least 1; for attempts that have something left.
  int count_left(const RunningAttempt& attempt) const;

  /// Waits for orphans that have ended; main processes are left to their attempts.
  void reap_orphans() const;

 private:
  std::vector<pid_t> orphans() const;

  std::unordered_set<pid_t> mains_;
};

}  // namespace mlops::process
