// The step's side of tracing: a process that has the kernel tell the keeper of each file that it and its
// children name, and then becomes the step's command. Same process, same session: nothing else changes.
#pragma once

#include <cstdint>

namespace mlops::process {

/// Argument by which main() knows that the process is to become a traced step: PROGRAM ARGV… follow, and the
/// keeper listens on descriptor 3.
inline constexpr const char* trace_argument = "internal-trace";

/// What it tells the keeper: first whether it is traced (then with the listening descriptor), and once more
/// if the command cannot be executed.
struct TraceHello {
  std::int32_t error = 0;  ///< errno, 0: traced, or of execve
  std::int32_t no_new_privileges = 0;
};

/// Does not return unless the command cannot be executed.
int run_traced(int argc, char** argv);

}  // namespace mlops::process
