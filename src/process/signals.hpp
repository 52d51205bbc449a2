#pragma once

#include <signal.h>

#include <initializer_list>

namespace mlops::process {

/// Of `signals` those that whoever started us does not want ignored. A blocked signal is queued, and read
/// from a signalfd, even while it is ignored: `nohup` and `command &` in a script would have no effect.
sigset_t heeded(std::initializer_list<int> signals);

/// Does what SIGTSTP does by default, while it is blocked: returns when the process is continued, or at once
/// where the kernel stops nobody because nobody could continue us (an orphaned process group).
void suspend_self();

}  // namespace mlops::process
