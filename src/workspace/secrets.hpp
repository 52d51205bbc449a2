// Values of declared secrets: fetched when they are needed, never kept.
#pragma once

#include <mlops/pipeline.hpp>

#include <string>

namespace mlops::workspace {

/// From the environment, a file or a command, whose paths are relative to `directory`. Throws Error(usage) if
/// it cannot be had. Blocks while a command runs.
std::string secret_value(const Secret& secret, const std::string& directory);

}  // namespace mlops::workspace
