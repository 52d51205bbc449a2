// Who is alive: the kernel's word instead of heartbeats.
#pragma once

#include "util/fd.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::process {

/// A process that cannot be mistaken for a later one with the same number.
struct Identity {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat
  std::string boot_id;
};

/// /proc/sys/kernel/random/boot_id, read once.
const std::string& boot_id();

/// Field 22 of /proc/PID/stat, 0 if there is no such process.
std::uint64_t start_ticks(pid_t pid);

Identity self();
std::string to_string(const Identity& identity);
std::optional<Identity> parse_identity(std::string_view text);

/// A pidfd of exactly this process, or none if it has ended.
util::Fd open_process(const Identity& identity);

/// Whether the process that to_string() wrote lives: one that has ended and was not waited for does not.
bool is_alive(std::string_view identity);

/// Waits until one of those that live has ended, `limit_ms` at most, also when none of them lives.
void await_end_of_one(const std::vector<Identity>& processes, int limit_ms);

/// Sends `signal` to exactly this process; false if it has ended.
bool signal_process(const Identity& identity, int signal);

}  // namespace mlops::process
