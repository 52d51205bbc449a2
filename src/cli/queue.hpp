// Requests on the screen: what `mlops submit` and `mlops queue` have in common.
#pragma once

#include <mlops/requests.hpp>

#include "cli/context.hpp"

#include <nlohmann/json.hpp>

namespace mlops::cli {

/// With the state of its run, which may have been deleted, and why it waits or is over.
nlohmann::json request_json(RequestRecord request, db::Connection& connection);
/// "is waiting", "is started, as run 01m8… (failed)".
std::string standing_words(const RequestRecord& request, db::Connection& connection);
nlohmann::json to_json(const RequestRecord& request);

/// Throws Error(usage) if no queue can be called so.
void require_queue_name(const std::string& name);

/// That nobody takes requests up, on stderr, if so.
void warn_if_nobody_works(const Workspace& workspace);

/// Until the request is over, and its run has ended; returns the run's exit code, 2 for a request that was
/// rejected, 5 for one that was cancelled.
int wait_for(const Workspace& workspace, db::Database& database, std::int64_t id);

}  // namespace mlops::cli
