// A file that is touched when a run has ended and its end is on record: who waits for runs watches it.
#pragma once

#include <mlops/error.hpp>
#include <mlops/workspace.hpp>

#include "util/files.hpp"
#include "util/log.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>

namespace mlops::engine {

inline void ring_end(const Workspace& workspace) {
  try {
    // No link is followed, and no pipe waited for.
    util::open_file(layout::in(workspace.state_directory(), layout::runs_bell),
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
  } catch (const Error& error) {
    // The run has ended all the same, and the next look will tell.
    util::log_debug(error.what());
  }
}

}  // namespace mlops::engine
