// A file that is written when a run has ended and its end is on record: who waits for runs watches it. It
// holds the run's id, which a database that was put back, or has lost its log, does not know.
#pragma once

#include <mlops/error.hpp>
#include <mlops/workspace.hpp>

#include "util/files.hpp"
#include "util/log.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>

namespace mlops::engine {

inline void ring_end(const Workspace& workspace, const std::string& run_id) {
  try {
    // No link is followed, and no pipe waited for.
    const util::Fd bell = util::open_file(layout::in(workspace.state_directory(), layout::runs_bell),
                                          O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
    if (const int error = util::write_all(bell.get(), run_id))
      throw_errno("cannot write the bell of runs", error);
  } catch (const Error& error) {
    // The run has ended all the same, and the next look will tell.
    util::log_debug(error.what());
  }
}

/// The id of the run that rang last; empty where that is not known.
inline std::string ended_last(const Workspace& workspace) {
  constexpr std::size_t most = 64;
  const std::string path = layout::in(workspace.state_directory(), layout::runs_bell);
  try {
    return util::read_regular_file(path, most).value_or("");
  } catch (const Error&) {
    return {};
  }
}

}  // namespace mlops::engine
