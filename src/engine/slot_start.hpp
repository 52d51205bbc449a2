// Where a run takes the slot that it is for.
#pragma once

#include <mlops/run.hpp>

#include "db/database.hpp"

namespace mlops::engine {

/// Takes note that the run for a slot has begun. Throws Error(overlap) if the claim is not valid any more:
/// whoever held it was taken for dead. Within a transaction of the caller.
void start_slot(db::Connection& connection, const SlotClaim& claim, Instant now);

}  // namespace mlops::engine
