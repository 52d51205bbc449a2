// A bell is a file that is touched when there is news; who sleeps until then watches it.
#pragma once

#include <mlops/workspace.hpp>

#include "util/files.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>

namespace mlops::schedule {

inline std::string bell_path(const Workspace& workspace, const char* bell) {
  return layout::in(workspace.state_directory(), bell);
}

/// `bell` is layout::daemon_bell or layout::queue_bell.
inline void ring(const Workspace& workspace, const char* bell) {
  // No link is followed, and no pipe waited for.
  util::open_file(bell_path(workspace, bell), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
}

}  // namespace mlops::schedule
