// `mlops import crontab --shadow --report` and `--remove`.
#pragma once

#include <mlops/workspace.hpp>

namespace mlops::cli {

/// Each returns the exit code.
int report_shadow(const Workspace& workspace, bool json);
int end_shadow(const Workspace& workspace, bool json);

}  // namespace mlops::cli
