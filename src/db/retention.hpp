// Rows of slots and requests that are old: nothing of them is left to be done, and no run that they led to is
// there any more.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <cstdint>
#include <string>

namespace mlops::db {

struct Retention {
  Instant before;          ///< only what was decided about, and was due, before
  std::string pipeline;    ///< empty: of all
  Instant claimed_before;  ///< of requests also claimed before: the rates of queues count those after it
};

struct OldRows {
  std::int64_t slots = 0, requests = 0;  ///< a row that stands for many slots counts as one
};

/// Kept are the newest row of each schedule, the one with the largest fence, and requests of backfills.
OldRows count_old(Connection& db, const Retention& retention);

/// Deletes at most `limit` of each. Of a schedule that loses rows no slot before `retention.before` is
/// expected any more. Within a Transaction.
OldRows delete_old(Connection& db, const Retention& retention, int limit);

}  // namespace mlops::db
