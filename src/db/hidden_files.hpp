#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

/// Replaces what is known of the step. Within a Transaction of the caller.
void put_trace(Connection& db, const std::string& run_id, const TraceRecord& trace,
               const std::vector<HiddenFile>& files);

// Of a cached step, both are those of the step that made its results. In order of step and path.
std::vector<TraceRecord> traces_of(Connection& db, const std::string& run_id);
std::vector<HiddenFile> hidden_files_of(Connection& db, const std::string& run_id);

/// The newest run of the pipeline in which the step called `name` was traced.
struct LastTrace {
  std::string run;
  TraceRecord trace;
  std::vector<HiddenFile> files;
};
std::optional<LastTrace> last_trace(Connection& db, const std::string& pipeline, const std::string& name);

}  // namespace mlops::db
