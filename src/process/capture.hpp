#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mlops::process {

struct Captured {
  int code = -1;  ///< exit code; -1: did not start, was killed or ran into the limit
  std::string out;
  std::string error;  ///< why it did not run, in words; empty if it did
};

/// Runs a short command and returns its standard output (1 MiB at most); standard error is discarded. `env`
/// is added to the environment, over what has the same names. Ends the command after `limit_ms`.
Captured capture(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
                 const std::vector<std::string>& env = {});

/// As capture(), with `input` as its standard input and its standard error among what is returned. Does not
/// wait for what the command leaves running.
Captured capture_with_input(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
                            const std::vector<std::string>& env, const std::string& input);

/// Waits for the child `pid` until the monotonic time `end`; false if it has not ended by then.
bool wait_for_child(int pid, std::int64_t end, int& status);

}  // namespace mlops::process
