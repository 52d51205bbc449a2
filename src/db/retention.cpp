#include "db/retention.hpp"

#include "util/time.hpp"

#include <string>
#include <utility>
#include <vector>

namespace mlops::db {

namespace {

// ?1: a time as text, ?2: the same in seconds, ?3: a pipeline or nothing.
const std::string old_slots = R"sql(
    FROM slots s JOIN schedules c ON c.id = s.schedule
    WHERE s.until_at < ?2 AND s.decided_at < ?1 AND s.outcome <> 'claimed' AND (?3 = '' OR c.pipeline = ?3)
      AND (s.run_id IS NULL OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = s.run_id))
      AND (s.fence IS NULL OR s.fence < (SELECT max(fence) FROM slots))
      AND s.slot_at < (SELECT max(slot_at) FROM slots n WHERE n.schedule = s.schedule)
  )sql";

// ?1 and ?3 as above, ?4: a time as text.
const std::string old_requests = R"sql(
    FROM requests q
    WHERE q.decided_at < ?1 AND q.state IN ('started', 'cancelled', 'rejected') AND (?3 = '' OR q.pipeline = ?3)
      AND q.backfill IS NULL AND (q.claimed_at IS NULL OR q.claimed_at < ?4)
      AND (q.run_id IS NULL OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = q.run_id))
      AND (q.fence IS NULL OR q.fence < (SELECT max(fence) FROM requests))
      AND q.id < (SELECT max(id) FROM requests)
  )sql";

std::int64_t seconds_of(const Retention& retention) {
  return std::chrono::floor<std::chrono::seconds>(retention.before).time_since_epoch().count();
}

Statement bound(Statement row, const Retention& retention, bool requests) {
  row.bind_one(1, util::format_utc(retention.before));
  if (!requests) row.bind_one(2, seconds_of(retention));
  row.bind_one(3, retention.pipeline);
  if (requests) row.bind_one(4, util::format_utc(retention.claimed_before));
  return row;
}

std::int64_t count(Statement row) { return row.step() ? row.integer(0) : 0; }

std::vector<std::int64_t> ids(Statement row) {
  std::vector<std::int64_t> list;
  while (row.step()) list.push_back(row.integer(0));
  return list;
}

}  // namespace

OldRows count_old(Connection& db, const Retention& retention) {
  return {count(bound(db.prepare("SELECT count(*)" + old_slots), retention, false)),
          count(bound(db.prepare("SELECT count(*)" + old_requests), retention, true))};
}

OldRows delete_old(Connection& db, const Retention& retention, int limit) {
  const std::string most = " LIMIT " + std::to_string(limit);
  const std::vector<std::int64_t> slots =
      ids(bound(db.prepare("SELECT s.id" + old_slots + most), retention, false));
  const std::vector<std::int64_t> requests =
      ids(bound(db.prepare("SELECT q.id" + old_requests + most), retention, true));
  for (const std::int64_t slot : slots) {
    // What is still to be decided about, or to run, is not of before.
    db.cached(R"sql(
        UPDATE schedules SET since = max(since, min(?2, cursor, coalesce((
          SELECT min(slot_at) - 1 FROM slots WHERE schedule = schedules.id AND outcome = 'claimed'), ?2)))
        WHERE id = (SELECT schedule FROM slots WHERE id = ?1)
      )sql")
        .bind(slot, seconds_of(retention))
        .run();
    db.cached("DELETE FROM slots WHERE id = ?").bind(slot).run();
  }
  for (const std::int64_t request : requests)
    db.cached("DELETE FROM requests WHERE id = ?").bind(request).run();
  return {static_cast<std::int64_t>(slots.size()), static_cast<std::int64_t>(requests.size())};
}

}  // namespace mlops::db
