#pragma once

#include "process/keeper.hpp"
#include "util/fd.hpp"

namespace mlops::process {

/// The keeper's loop: starts attempts, writes their output down, keeps their limits and reports their ends,
/// until the runner has closed `socket` and every attempt has ended. The process must be a subreaper with
/// SIGCHLD and SIGTERM blocked. Throws Error(io) when it cannot go on.
void serve_run(util::Fd socket, const KeeperPlace& place);

}  // namespace mlops::process
