#include "db/history.hpp"

#include "db/columns.hpp"
#include "db/runs.hpp"
#include "util/id.hpp"

#include <algorithm>

namespace mlops::db {

namespace {

// Ids begin with their time, which is a little before created_at.
constexpr std::chrono::minutes slack{1};

// A backfill makes what was to be made long ago.
constexpr const char* no_backfill =
    " AND NOT EXISTS (SELECT 1 FROM requests q WHERE q.run_id = r.id AND q.backfill IS NOT NULL)";

// Of the runs that can be meant by "for this slot".
const std::string for_slot = std::string(R"sql(
  FROM runs r LEFT JOIN slots s ON s.run_id = r.id AND s.outcome = 'ran'
  WHERE r.pipeline = ?1 AND r.id >= ?2 AND r.created_at >= ?3 AND coalesce(s.slot_at, ?4) >= ?4
)sql") + no_backfill;

Statement& bind_slot(Statement& row, const std::string& pipeline, std::chrono::sys_seconds slot) {
  return row.bind(pipeline, util::id_prefix(Instant(slot) - slack), util::format_utc(slot),
                  static_cast<std::int64_t>(slot.time_since_epoch().count()));
}

}  // namespace

std::vector<std::int64_t> durations_ms(Connection& db, const std::string& pipeline, int most) {
  std::vector<std::int64_t> list;
  Statement row = db.prepare(R"sql(
    SELECT r.duration_ms FROM runs r WHERE r.pipeline = ? AND r.state = 'succeeded' AND r.duration_ms IS NOT NULL
      AND EXISTS (SELECT 1 FROM steps s WHERE s.run_id = r.id AND s.state = 'succeeded')
    ORDER BY r.id DESC LIMIT ?
  )sql");
  row.bind(pipeline, most);
  while (row.step()) list.push_back(row.integer(0));
  return list;
}

std::map<std::string, std::vector<std::int64_t>> step_durations_ms(Connection& db,
                                                                   const std::string& pipeline, int most) {
  std::map<std::string, std::vector<std::int64_t>> all;
  Statement row = db.prepare(R"sql(
    SELECT s.name, CASE s.state WHEN 'cached' THEN 0
                   ELSE CAST((julianday(s.ended_at) - julianday(s.started_at)) * 86400000 AS INTEGER) END
    FROM (SELECT id FROM runs WHERE pipeline = ? AND state = 'succeeded' ORDER BY id DESC LIMIT ?) r
    JOIN steps s ON s.run_id = r.id
    WHERE s.state = 'cached' OR (s.state = 'succeeded' AND s.started_at IS NOT NULL AND s.ended_at IS NOT NULL)
  )sql");
  row.bind(pipeline, most);
  while (row.step()) all[row.text(0)].push_back(row.integer(1));
  return all;
}

std::optional<Instant> last_success(Connection& db, const std::string& pipeline) {
  // Runs may end in another order than that in which they began; those that do lie near each other.
  Statement row = db.prepare(
      "SELECT max(ended_at) FROM (SELECT r.ended_at FROM runs r WHERE r.pipeline = ? AND r.state = "
      "'succeeded'" +
      std::string(no_backfill) + " ORDER BY r.id DESC LIMIT 100)");
  row.bind(pipeline);
  return row.step() ? instant(row, 0) : std::nullopt;
}

std::optional<Instant> first_success_for(Connection& db, const std::string& pipeline,
                                         std::chrono::sys_seconds slot) {
  Statement row = db.prepare("SELECT min(ended_at) FROM (SELECT r.ended_at " + for_slot +
                             " AND r.state = 'succeeded' ORDER BY r.id LIMIT 100)");
  bind_slot(row, pipeline, slot);
  return row.step() ? instant(row, 0) : std::nullopt;
}

std::optional<RunRecord> newest_run_for(Connection& db, const std::string& pipeline,
                                        std::chrono::sys_seconds slot) {
  Statement row = db.prepare("SELECT r.id " + for_slot + " ORDER BY r.id DESC LIMIT 1");
  bind_slot(row, pipeline, slot);
  return row.step() ? find_run(db, row.text(0)) : std::nullopt;
}

}  // namespace mlops::db
