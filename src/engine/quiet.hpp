#pragma once

#include <mlops/workspace.hpp>

#include <string>

namespace mlops::engine {

/// Throws Error(busy) that names who it is when a daemon serves the workspace or a run goes on in it;
/// `attempt` is what cannot be done meanwhile: "restore".
void require_quiet(const Workspace& workspace, const std::string& attempt);

}  // namespace mlops::engine
