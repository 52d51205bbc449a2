#include "db/cache.hpp"

#include "db/steps.hpp"
#include "util/time.hpp"

#include <nlohmann/json.hpp>

namespace mlops::db {

namespace {

void add_artifact(const Statement& row, int column, CachedResults& results) {
  ArtifactRecord a;
  a.step = results.maker.step;
  a.path = row.text(column);
  a.kind = row.text(column + 1);
  a.form = row.text(column + 2);
  a.sha256 = row.text(column + 3);
  a.size = static_cast<std::uint64_t>(row.integer(column + 4));
  a.files = static_cast<std::uint64_t>(row.integer(column + 5));
  results.artifacts.push_back(std::move(a));
}

void add_metric(const Statement& row, int column, CachedResults& results) {
  results.metrics.push_back({row.text(column), 0, row.maybe_real(column + 1), std::nullopt});
}

constexpr std::string_view artifact_columns = "t.path, t.kind, t.form, t.sha256, t.size, t.files";

}  // namespace

std::optional<CachedResults> find_cached(Connection& db, const std::string& key) {
  Statement& entry =
      db.cached(
            "SELECT c.run_id, c.step, s.name FROM cache c JOIN steps s USING (run_id, step) WHERE c.key = ?")
          .bind(key);
  CachedResults results;
  const bool found = entry.step();
  if (found) results.maker = {entry.text(0), static_cast<int>(entry.integer(1)), entry.text(2)};
  entry.reset();
  if (!found) return std::nullopt;
  const auto for_each = [&](const std::string& columns, const std::string& table, const auto& on_row) {
    Statement& row = db.cached("SELECT " + columns + " FROM " + table + " t WHERE run_id = ? AND step = ?")
                         .bind(results.maker.run, results.maker.step);
    while (row.step()) on_row(row);
    row.reset();
  };
  for_each("t.direction, " + std::string(artifact_columns), "artifacts", [&](const Statement& row) {
    if (row.text(0) == "out") add_artifact(row, 1, results);
  });
  for_each("t.name, t.value", "step_outputs",
           [&](const Statement& row) { results.values.emplace_back(row.text(0), row.text(1)); });
  for_each("t.name, t.value", "metric_latest", [&](const Statement& row) { add_metric(row, 0, results); });
  return results;
}

std::unordered_map<std::string, CachedResults> results_of_newest_run(Connection& db,
                                                                     const std::string& pipeline) {
  std::unordered_map<std::string, CachedResults> known;
  const auto for_each = [&](const std::string& columns, const std::string& join, const auto& on_row) {
    Statement row = db.prepare(
        "SELECT s.cache_key, c.run_id, c.step" + columns +
        " FROM steps s JOIN cache c ON c.key = s.cache_key " + join +
        " WHERE s.run_id = (SELECT id FROM runs r WHERE pipeline = ?1 AND state <> 'running' AND EXISTS "
        "(SELECT 1 FROM steps e WHERE e.run_id = r.id AND e.cache_key IS NOT NULL) "
        "ORDER BY id DESC LIMIT 1)");
    row.bind(pipeline);
    while (row.step()) {
      CachedResults& results = known[row.text(0)];
      if (results.maker.run.empty()) results.maker = {row.text(1), static_cast<int>(row.integer(2)), ""};
      on_row(row, results);
    }
  };
  const auto of_maker = [](const std::string& table) {
    return "JOIN " + table + " t ON t.run_id = c.run_id AND t.step = c.step";
  };
  // One transaction, so that all of it is of one moment.
  db.execute("BEGIN");
  for_each(", t.name", of_maker("steps"),
           [](const Statement& row, CachedResults& results) { results.maker.name = row.text(3); });
  for_each(", " + std::string(artifact_columns), of_maker("artifacts") + " AND t.direction = 'out'",
           [](const Statement& row, CachedResults& results) { add_artifact(row, 3, results); });
  for_each(", t.name, t.value", of_maker("step_outputs"), [](const Statement& row, CachedResults& results) {
    results.values.emplace_back(row.text(3), row.text(4));
  });
  for_each(", t.name, t.value", of_maker("metric_latest"),
           [](const Statement& row, CachedResults& results) { add_metric(row, 3, results); });
  db.execute("COMMIT");
  return known;
}

void relabel(Connection& db, const CachedResults& results) {
  for (const ArtifactRecord& output : results.artifacts) {
    db.cached(
          "UPDATE artifacts SET kind = ? WHERE run_id = ? AND step = ? AND direction = 'out' AND path = ?")
        .bind(output.kind, results.maker.run, results.maker.step, output.path)
        .run();
  }
}

void put_cached(Connection& db, const std::string& key, const std::string& run_id, int step, Instant now) {
  db.cached("INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?)")
      .bind(key, run_id, step, util::format_utc(now))
      .run();
}

void put_facts(Connection& db, const std::string& run_id, int step, const std::string& facts) {
  db.cached("INSERT OR REPLACE INTO step_facts VALUES (?, ?, ?)").bind(run_id, step, facts).run();
}

std::optional<LastFacts> last_facts(Connection& db, const std::string& pipeline, const std::string& step) {
  static const std::string sql = newest_result("f.run_id, f.step, f.facts", R"sql(
    CROSS JOIN step_facts f ON f.run_id = coalesce(s.source_run, s.run_id) AND f.step = coalesce(s.source_step, s.step)
  )sql");
  Statement& row = db.cached(sql);
  row.bind(pipeline, step);
  std::optional<LastFacts> facts;
  if (row.step()) facts = LastFacts{{row.text(0), static_cast<int>(row.integer(1)), step}, row.text(2)};
  row.reset();
  return facts;
}

std::optional<std::string> facts_of(Connection& db, const std::string& run_id, int step) {
  Statement row = db.prepare("SELECT facts FROM step_facts WHERE run_id = ? AND step = ?");
  row.bind(run_id, step);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

std::vector<KeptContent> contents_to_keep(Connection& db, const OutputRetention& retention) {
  Statement row = db.prepare(R"sql(
    WITH ranked AS (
      -- A running run has no outputs yet, and takes no place of one that has.
      SELECT id, state, created_at,
             row_number() OVER (PARTITION BY pipeline, state = 'running' ORDER BY id DESC) AS place
      FROM runs
    ), kept AS (
      SELECT id, 0 AS why FROM ranked WHERE id IN (SELECT run_id FROM pinned_runs)
      UNION ALL SELECT id, 1 FROM ranked WHERE state = 'running'
      UNION ALL SELECT t.run_id, 3 FROM json_each(?3) wanted JOIN tags t
                ON t.key = wanted.value ->> 0 AND (wanted.value ->> 1) IN ('', t.value)
      UNION ALL SELECT id, 4 FROM ranked WHERE (?1 IS NULL OR created_at >= ?1) AND (?2 < 0 OR place <= ?2)
    ), contents AS (
      -- What the store was given; of folders that were only read, the list of their files; and what pinned and
      -- running runs read, as far as the store has it.
      SELECT kept.why, iif(a.kept OR a.list = '', a.sha256, a.list) AS sha256, a.form,
             a.direction = 'in' OR m.cache_key IS NULL AS not_promised
      FROM kept JOIN steps s ON s.run_id = kept.id
      JOIN artifacts a ON a.run_id = coalesce(s.source_run, s.run_id) AND a.step = coalesce(s.source_step, s.step)
      JOIN steps m ON m.run_id = a.run_id AND m.step = a.step
      WHERE a.kept OR a.list <> '' OR kept.why < 2
      UNION ALL
      SELECT CASE WHEN pinned THEN 0 ELSE 2 END, sha256, form, 0 FROM v_dataset_versions
    )
    SELECT min(why), sha256, form, min(not_promised) FROM contents GROUP BY sha256, form ORDER BY 1
  )sql");
  nlohmann::json tags = nlohmann::json::array();
  for (const Tag& tag : retention.tags) tags.push_back({tag.key, tag.value});
  row.bind(retention.since ? std::optional(util::format_utc(*retention.since)) : std::nullopt,
           retention.newest, tags.dump());
  std::vector<KeptContent> contents;
  while (row.step()) {
    contents.push_back(
        {static_cast<KeptContent::Why>(row.integer(0)), row.text(1), row.text(2), row.integer(3) != 0});
  }
  return contents;
}

std::set<std::string> hand_over_results(Connection& db, const std::string& run_id) {
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
  db.execute("CREATE TEMP TABLE IF NOT EXISTS heirs (step INTEGER PRIMARY KEY, run TEXT, run_step INTEGER)");
  db.execute("DELETE FROM temp.heirs");
  for (const Heir& heir : heirs) {
    db.cached("INSERT INTO temp.heirs VALUES (?, ?, ?)").bind(heir.step, heir.run, heir.run_step).run();
    for (const char* table : {"artifacts", "metrics", "metric_latest", "step_outputs", "step_facts",
                              "step_traces", "hidden_files"}) {
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
  }
  // All at once: what took results from a run is found by the run alone.
  db.prepare(R"sql(
    UPDATE steps SET source_run = h.run, source_step = h.run_step
    FROM temp.heirs h WHERE steps.source_run = ?1 AND h.step = steps.source_step
  )sql")
      .bind(run_id)
      .run();
  std::set<std::string> runs;
  for (Heir& heir : heirs) runs.insert(std::move(heir.run));
  return runs;
}

}  // namespace mlops::db
