// Backfills and their slots.
#pragma once

#include <mlops/backfills.hpp>

#include "db/database.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

// Writing: within a Transaction of the caller.
std::int64_t put_backfill(Connection& db, const BackfillRecord& backfill);
void put_backfill_slot(Connection& db, std::int64_t backfill, const BackfillSlot& slot);
void update_backfill(Connection& db, std::int64_t id, BackfillState state, int jobs);
/// The slot is asked for once more.
void set_backfill_request(Connection& db, std::int64_t backfill, std::chrono::sys_seconds at,
                          std::int64_t request);

/// Takes note in the ledger that the slot of the request with this fence is run by `run_id`; false if
/// somebody else is about to run it. True for a request that is no part of a backfill.
bool start_backfill_slot(Connection& db, std::int64_t fence, const std::string& run_id, Instant now);

// Reading.
std::optional<BackfillRecord> find_backfill(Connection& db, std::int64_t id);
/// Oldest first.
std::vector<BackfillRecord> backfills(Connection& db);
/// Oldest first.
std::vector<BackfillSlot> slots_of_backfill(Connection& db, std::int64_t id);
/// The slot of a backfill that a request is for.
std::optional<BackfillSlot> slot_of_request(Connection& db, std::int64_t request);
/// Slots of the schedule for which a request of some backfill waits or is about to begin, with that backfill.
std::map<std::chrono::sys_seconds, std::int64_t> slots_asked_for(Connection& db, std::int64_t schedule);

/// Whether something of it is left to do, or under way; not if it is paused or cancelled.
bool is_backfill_open(Connection& db, std::int64_t id);
/// Whether a run is part of a backfill.
bool is_of_backfill(Connection& db, const std::string& run_id);

}  // namespace mlops::db
