#include "db/cache.hpp"

#include "util/time.hpp"

namespace mlops::db {

std::optional<CacheEntry> find_cached(Connection& db, const std::string& key) {
  Statement& row = db.cached("SELECT run_id, step FROM cache WHERE key = ?").bind(key);
  std::optional<CacheEntry> entry;
  if (row.step()) entry = CacheEntry{row.text(0), static_cast<int>(row.integer(1))};
  row.reset();
  return entry;
}

std::vector<std::pair<std::string, std::string>> values_set_by(Connection& db, const CacheEntry& maker) {
  Statement& row = db.cached("SELECT name, value FROM step_outputs WHERE run_id = ? AND step = ?")
                       .bind(maker.run, maker.step);
  std::vector<std::pair<std::string, std::string>> values;
  while (row.step()) values.emplace_back(row.text(0), row.text(1));
  row.reset();
  return values;
}

std::vector<MetricPoint> metrics_of(Connection& db, const CacheEntry& maker) {
  Statement& row = db.cached("SELECT name, value FROM metric_latest WHERE run_id = ? AND step = ?")
                       .bind(maker.run, maker.step);
  std::vector<MetricPoint> points;
  while (row.step()) points.push_back({row.text(0), 0, row.maybe_real(1), std::nullopt});
  row.reset();
  return points;
}

void put_cached(Connection& db, const std::string& key, const std::string& run_id, int step, Instant now) {
  db.cached("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)")
      .bind(key, run_id, step, util::format_utc(now))
      .run();
}

void put_facts(Connection& db, const std::string& run_id, int step, const std::string& facts) {
  db.cached("INSERT OR REPLACE INTO step_facts VALUES (?, ?, ?)").bind(run_id, step, facts).run();
}

std::optional<std::string> last_facts(Connection& db, const std::string& pipeline, const std::string& step) {
  Statement& row = db.cached(R"sql(
    SELECT f.facts
    FROM steps s JOIN runs r ON r.id = s.run_id
    JOIN step_facts f ON f.run_id = s.run_id AND f.step = s.step
    WHERE s.name = ?2 AND r.pipeline = ?1 AND s.state = 'succeeded'
    ORDER BY s.run_id DESC LIMIT 1
  )sql");
  row.bind(pipeline, step);
  std::optional<std::string> facts;
  if (row.step()) facts = row.text(0);
  row.reset();
  return facts;
}

std::optional<std::string> facts_of(Connection& db, const std::string& run_id, int step) {
  Statement row = db.prepare("SELECT facts FROM step_facts WHERE run_id = ? AND step = ?");
  row.bind(run_id, step);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

std::vector<KeptContent> contents_to_keep(Connection& db, std::optional<Instant> since, int newest) {
  Statement row = db.prepare(R"sql(
    WITH ranked AS (
      SELECT id, state, created_at, row_number() OVER (PARTITION BY pipeline ORDER BY id DESC) AS place FROM runs
    ), kept AS (
      SELECT id FROM ranked
      WHERE state = 'running' OR ((?1 IS NULL OR created_at >= ?1) AND (?2 < 0 OR place <= ?2))
    )
    SELECT DISTINCT a.sha256, a.form
    FROM kept JOIN steps s ON s.run_id = kept.id
    JOIN artifacts a ON a.run_id = coalesce(s.source_run, s.run_id) AND a.step = coalesce(s.source_step, s.step)
    WHERE a.direction = 'out'
  )sql");
  row.bind(since ? std::optional(util::format_utc(*since)) : std::nullopt, newest);
  std::vector<KeptContent> contents;
  while (row.step()) contents.push_back({row.text(0), row.text(1)});
  return contents;
}

void hand_over_results(Connection& db, const std::string& run_id) {
  struct Heir {
    int step = 0;
    std::string run;
    int run_step = 0;
  };
  std::vector<Heir> heirs;
  {
    Statement row = db.prepare(
        "SELECT source_step, min(run_id), step FROM steps WHERE source_run = ? GROUP BY source_step");
    row.bind(run_id);
    while (row.step())
      heirs.push_back({static_cast<int>(row.integer(0)), row.text(1), static_cast<int>(row.integer(2))});
  }
  for (const Heir& heir : heirs) {
    for (const char* table : {"artifacts", "metrics", "metric_latest", "step_outputs", "step_facts"}) {
      db.prepare(std::string("UPDATE OR REPLACE ") + table +
                 " SET run_id = ?1, step = ?2 WHERE run_id = ?3 AND step = ?4")
          .bind(heir.run, heir.run_step, run_id, heir.step)
          .run();
    }
    db.prepare("UPDATE cache SET run_id = ?1, step = ?2 WHERE run_id = ?3 AND step = ?4")
        .bind(heir.run, heir.run_step, run_id, heir.step)
        .run();
    db.prepare("UPDATE steps SET source_run = NULL, source_step = NULL WHERE run_id = ?1 AND step = ?2")
        .bind(heir.run, heir.run_step)
        .run();
    db.prepare(
          "UPDATE steps SET source_run = ?1, source_step = ?2 WHERE source_run = ?3 AND source_step = ?4")
        .bind(heir.run, heir.run_step, run_id, heir.step)
        .run();
  }
}

}  // namespace mlops::db
