#pragma once

#include <string>
#include <vector>

namespace mlops::process {

struct Captured {
  int code = -1;  ///< exit code; -1: did not start, was killed or ran into the limit
  std::string out;
  std::string error;  ///< why it did not run, in words; empty if it did
};

/// Runs a short command and returns its standard output (1 MiB at most); standard error is discarded. `env`
/// is added to the environment. Ends the command after `limit_ms`.
Captured capture(const std::vector<std::string>& argv, const std::string& directory, int limit_ms,
                 const std::vector<std::string>& env = {});

}  // namespace mlops::process
