// What the keeper knows of an attempt that runs. Times are monotonic milliseconds.
#pragma once

#include "process/attempt.hpp"
#include "process/control_group.hpp"
#include "process/secret_forms.hpp"
#include "process/step_log.hpp"
#include "util/fd.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace mlops::process {

// After a step's main process has ended, its output is drained until it has been quiet for a while: a
// process left behind may hold the pipe for ever.
inline constexpr std::int64_t drain_quiet_ms = 200;
inline constexpr std::int64_t drain_limit_ms = 2'000;
// SIGKILL ends nothing that hangs in the kernel or belongs to somebody else.
inline constexpr std::int64_t kill_limit_ms = 5'000;
inline constexpr std::int64_t kill_again_ms = 50;
inline constexpr std::int64_t never = INT64_MAX;

struct RunningAttempt {
  enum class Phase {
    running,
    draining,  ///< the main process has ended, its output may not
    ending,    ///< what it left behind is being ended
  };

  StartRequest request;
  Phase phase = Phase::running;
  pid_t pid = 0;       ///< leader of its process group and session; not waited for before the attempt is over
  ControlGroup group;  ///< of all its processes; maybe none
  util::Fd pipes[2];   ///< stdout, stderr
  StepLog log;
  SecretForms secrets;      ///< that the log does not show
  HeldOutput held[2] = {};  ///< of stdout, stderr
  ExitRecord record;
  std::int64_t started = 0;
  std::int64_t last_output = 0;
  std::int64_t ended = 0;
  std::int64_t kill_at = never;
  bool killed = false;
  std::int64_t give_up_at = never;  ///< on what SIGKILL does not end
  bool alone = false;               ///< nothing more of it is to be waited for
  std::vector<std::string> cookie;  ///< environment by which its processes are known

  bool draining_done() const { return !pipes[0] && !pipes[1]; }

  /// When the keeper must look at it again.
  std::int64_t deadline() const {
    std::int64_t at = kill_at;
    if (phase == Phase::running && kill_at == never && !killed) {
      if (request.timeout_ms > 0) at = std::min(at, started + request.timeout_ms);
      if (request.no_output_ms > 0) at = std::min(at, last_output + request.no_output_ms);
    } else if (phase == Phase::draining) {
      at = std::min({at, std::max(last_output, ended) + drain_quiet_ms, ended + drain_limit_ms});
    }
    return at;
  }

  /// Time that does not count: the attempt was paused.
  void shift(std::int64_t ms) {
    started += ms, last_output += ms, ended += ms;
    if (kill_at != never) kill_at += ms;
    if (give_up_at != never) give_up_at += ms;
  }
};

}  // namespace mlops::process
