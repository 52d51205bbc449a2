// POST /hooks/NAME, for the process that answers HTTP beside the daemon.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <functional>
#include <string>
#include <vector>

namespace mlops::server {

/// Serves the listening socket until SIGTERM; SIGURG lets it read again which hooks there are. `names` are
/// what the Host header may say besides localhost.
void serve_hooks(const Workspace& workspace, db::Database& database, int listening_fd,
                 const std::vector<std::string>& names, const std::function<void(const std::string&)>& say);

}  // namespace mlops::server
