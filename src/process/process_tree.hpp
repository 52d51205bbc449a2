// Finding and signalling all processes of a step without cgroups.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace mlops::process {

/// A file of /proc or /sys; empty if it cannot be read: what it is of has ended, or is not ours to look at.
std::string read_kernel_file(const std::string& path);

/// Children of `pid` now (of all its threads).
std::vector<pid_t> children_of(pid_t pid);

struct Descendant {
  pid_t pid = 0;
  pid_t parent = 0;  ///< when it was found
};

/// All descendants of `pid`, parents before children.
std::vector<Descendant> descendants_of(pid_t pid);

/// Sends `signal` to it, unless it has lost its parent since it was found, as it does if its number has
/// passed to a process of somebody else. False if nothing was sent.
bool signal_descendant(const Descendant& process, int signal);

/// Sends `signal` to the process group `leader` and to every descendant that left the group.
void signal_tree(pid_t leader, int signal);

/// False for a zombie too: it runs nothing, holds nothing, and cannot be ended.
bool is_alive(pid_t pid);

/// True if the environment that `pid` was started with has all of `entries` ("NAME=value").
bool has_environment(pid_t pid, const std::vector<std::string>& entries);

/// Kills every process whose environment has all of `entries`, what a dead keeper left behind, and looks
/// again for what these forked meanwhile. Returns how many.
int kill_by_environment(const std::vector<std::string>& entries);

}  // namespace mlops::process
