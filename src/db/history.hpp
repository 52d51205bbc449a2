// How runs of a pipeline went, for looking ahead.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

/// Of the newest `most` runs of the pipeline that succeeded and in which a step ran.
std::vector<std::int64_t> durations_ms(Connection& db, const std::string& pipeline, int most);

/// Likewise of its steps, by name; one that was cached took no time.
std::map<std::string, std::vector<std::int64_t>> step_durations_ms(Connection& db,
                                                                   const std::string& pipeline, int most);

/// The end of the newest run that succeeded. Runs of backfills count in none of these: they make what was to
/// be made long ago.
std::optional<Instant> last_success(Connection& db, const std::string& pipeline);

/// When the first run ended well that began at `slot` or later and was not for a slot before it.
std::optional<Instant> first_success_for(Connection& db, const std::string& pipeline,
                                         std::chrono::sys_seconds slot);

/// The newest run that began at `slot` or later and was not for a slot before it.
std::optional<RunRecord> newest_run_for(Connection& db, const std::string& pipeline,
                                        std::chrono::sys_seconds slot);

}  // namespace mlops::db
