// From a request to a process.
#pragma once

#include "process/attempt.hpp"
#include "process/control_group.hpp"
#include "process/file_trace.hpp"
#include "util/fd.hpp"

#include <sys/resource.h>
#include <sys/types.h>

namespace mlops::process {

/// The two pipes of a step's output.
struct OutputPipes {
  util::Fd ours[2];  ///< stdout, stderr; reading does not block
  util::Fd theirs[2];
};

/// 0 or an errno value.
int make_pipes(OutputPipes& pipes);

/// Starts the command of `request` with its output in `pipes` and `null_fd` as its input. `open_files` is the
/// step's limit of open files, where it is not ours; `group` is its control group, if there is one;
/// `trace`, if given, follows what it opens. Returns the pid, or a negative errno value.
pid_t launch(const StartRequest& request, const OutputPipes& pipes, int null_fd, const rlimit& open_files,
             const ControlGroup& group, FileTrace* trace = nullptr);

}  // namespace mlops::process
