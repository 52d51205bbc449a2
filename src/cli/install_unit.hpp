// `mlops schedule install --systemd`.
#pragma once

#include "cli/install_parts.hpp"

namespace mlops::cli {

/// Writes or removes the unit of the workspace. Returns the exit code: not 0 where systemd has not started
/// it.
int install_systemd(const InstallOptions& options, const Workspace& workspace);

}  // namespace mlops::cli
