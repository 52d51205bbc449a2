// Requests on the screen: what `mlops submit` and `mlops queue` have in common.
#pragma once

#include <mlops/requests.hpp>

#include "cli/context.hpp"

#include <nlohmann/json.hpp>

namespace mlops::cli {

nlohmann::json to_json(const RequestRecord& request);

/// Throws Error(usage) if no queue can be called so.
void require_queue_name(const std::string& name);

/// That nobody takes requests up, on stderr, if so.
void warn_if_nobody_works(const Workspace& workspace);

/// Until the request is over, and its run has ended; returns the run's exit code, 2 for a request that was
/// rejected, 5 for one that was cancelled.
int wait_for(const Workspace& workspace, db::Database& database, std::int64_t id);

}  // namespace mlops::cli
