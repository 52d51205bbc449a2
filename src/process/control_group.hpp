// A control group of a step's own, where the one we are in may be divided (cgroup v2, Linux 5.14 for the
// kill; Documentation/admin-guide/cgroup-v2.rst): whatever a process of the step does, it stays in there.
#pragma once

#include "util/fd.hpp"

#include <sys/types.h>

#include <string>
#include <vector>

namespace mlops::process {

/// May be none, as where cgroup v2 is not there or its directory is not ours to write to.
class ControlGroup {
 public:
  ControlGroup() = default;
  /// Below that of this process. `name` must be nobody else's; none if it cannot be made.
  explicit ControlGroup(const std::string& name);
  ControlGroup(ControlGroup&& other) noexcept;
  ControlGroup& operator=(ControlGroup&& other) noexcept;
  ~ControlGroup();

  explicit operator bool() const { return !path_.empty(); }
  /// Its directory, for CLONE_INTO_CGROUP; none if it is not there.
  util::Fd open() const;

  /// Of it and of groups that were made within; without those that have ended.
  std::vector<pid_t> processes() const;
  void signal(int signal) const;
  /// All at once, and whoever is just being forked.
  void kill() const;

 private:
  void remove();

  std::string path_;
};

/// What the names of the groups of a run's steps begin with.
inline std::string group_prefix(const std::string& run_id) { return "mlops." + run_id + "."; }

/// Whether a group could be made below that of this process.
bool can_make_control_groups();

/// Ends all that is in groups whose names begin with `prefix`, below the group of this process: what a keeper
/// that was killed has left. Returns how many processes that were.
int kill_control_groups(const std::string& prefix);

}  // namespace mlops::process
