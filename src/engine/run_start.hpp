// What every run begins with, also one that is repeated as a whole.
#pragma once

#include <mlops/run.hpp>

#include "db/database.hpp"

namespace mlops::engine {

/// A run of now, by this process: all but what is known of its pipeline.
RunRecord new_run(const RunSettings& settings, int jobs);

/// Takes note that the run for a slot or a request has begun. Throws Error(overlap) if the claim is not valid
/// any more: whoever held it was taken for dead. Within a transaction of the caller.
void start_claim(db::Connection& connection, const SlotClaim& claim, Instant now);

}  // namespace mlops::engine
