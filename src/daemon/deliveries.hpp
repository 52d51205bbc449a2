// Messages that wait: the daemon sees to it that a process of their own is at them, and never waits for one.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "util/fd.hpp"

#include <chrono>
#include <optional>

namespace mlops::daemon {

class Deliveries {
 public:
  Deliveries(const Workspace& workspace, db::Database& database)
      : workspace_(workspace), database_(database) {}

  /// Starts a process that delivers if something is due and nobody is at it. Throws Error(io).
  void tend(std::chrono::sys_seconds now);
  /// When to look again; none: nothing waits.
  std::optional<std::chrono::sys_seconds> next() const { return next_; }

 private:
  const Workspace& workspace_;
  db::Database& database_;
  std::optional<std::chrono::sys_seconds> next_;
};

}  // namespace mlops::daemon
