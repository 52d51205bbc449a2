// Tells a service elsewhere that the daemon is alive, as `ping` in .mlops/config.yaml says: it raises the
// alarm when it has not heard for long. Each ping is a process of its own, so that a service that hangs holds
// up nothing.
#pragma once

#include <mlops/workspace.hpp>

#include "schedule/timetable.hpp"
#include "util/fd.hpp"
#include "workspace/config.hpp"

#include <functional>
#include <optional>
#include <string>

namespace mlops::daemon {

class Pinger {
 public:
  using Say = std::function<void(const std::string&)>;
  Pinger(const Workspace& workspace, Say say) : workspace_(workspace), say_(std::move(say)) {}

  /// Reads the configuration, at first or again.
  void set_up(schedule::sys_seconds now);
  /// When the next ping is due.
  std::optional<schedule::sys_seconds> next() const { return next_; }
  /// After a jump of the clock.
  void begin_anew(schedule::sys_seconds now);
  /// Collects what the last ping came to, and begins the next one if it is due.
  void work(schedule::sys_seconds now);

 private:
  void start();
  void collect();
  void tell(const std::string& failure);

  const Workspace& workspace_;
  Say say_;
  workspace::PingConfig config_;
  std::optional<schedule::sys_seconds> next_;
  util::Fd answer_;       // what the ping that is on its way says; closed when there is none
  bool failing_ = false;  // and that was told
};

/// The process of one ping: `mlops internal-ping ROOT`. Prints "ok", or what went wrong.
constexpr const char* ping_argument = "internal-ping";
int run_ping(const std::string& workspace_root);

}  // namespace mlops::daemon
