#include "db/steps.hpp"

#include "db/columns.hpp"

#include <map>

namespace mlops::db {

void insert_step(Connection& db, const std::string& run_id, const StepRecord& s) {
  db.cached(
        "INSERT INTO steps (run_id, step, name, kind, command, state, reason) VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind(run_id, s.step, s.name, s.kind, s.command, to_string(s.state), s.reason)
      .run();
}

void update_step(Connection& db, const std::string& run_id, const StepRecord& s) {
  db.cached(R"sql(
        UPDATE steps SET state = ?3, reason = ?4, attempts = ?5, started_at = ?6, ended_at = ?7, cache_key = ?8,
                         because = ?9, source_run = ?10, source_step = ?11
        WHERE run_id = ?1 AND step = ?2
      )sql")
      .bind(run_id, s.step, to_string(s.state), s.reason, s.attempts, time_text(s.started_at),
            time_text(s.ended_at), s.cache_key, s.because, s.source_run, s.source_step)
      .run();
}

// What has results of its own is found by its name; what took them over since then, by a look at the runs
// since then. Of a name that never had any (its results came under another one) a thousand runs are looked
// at.
std::string newest_result(const std::string& columns, const std::string& join) {
  return "SELECT " + columns + R"sql(
    FROM runs r CROSS JOIN steps s ON s.run_id = r.id AND s.name = ?2 AND s.state IN ('succeeded', 'cached')
  )sql" + join +
         R"sql(
    WHERE r.pipeline = ?1 AND r.id >= coalesce(
      (SELECT t.run_id FROM steps t JOIN runs q ON q.id = t.run_id
       WHERE t.name = ?2 AND (t.attempts > 0 OR t.source_run IS NULL) AND t.state IN ('succeeded', 'cached')
         AND q.pipeline = ?1
       ORDER BY t.run_id DESC LIMIT 1),
      (SELECT id FROM runs WHERE pipeline = ?1 ORDER BY id DESC LIMIT 1 OFFSET 999), '')
    ORDER BY r.id DESC LIMIT 1
  )sql";
}

bool copy_cached_steps(Connection& db, const std::string& from, const std::string& to, int count) {
  Statement& usable = db.cached(R"sql(
      SELECT count(*) FROM steps s
      JOIN cache c ON c.key = s.cache_key AND c.run_id = s.source_run AND c.step = s.source_step
      WHERE s.run_id = ? AND s.state = 'cached'
    )sql");
  usable.bind(from);
  const bool all = usable.step() && usable.integer(0) == count;
  usable.reset();
  if (!all) return false;
  db.cached(R"sql(
        INSERT INTO steps (run_id, step, name, kind, command, state, reason, cache_key, because, source_run, source_step)
        SELECT ?, step, name, kind, command, state, reason, cache_key, because, source_run, source_step
        FROM steps WHERE run_id = ?
      )sql")
      .bind(to, from)
      .run();
  return true;
}

void put_attempt(Connection& db, const std::string& run_id, const AttemptRecord& a) {
  db.cached("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(run_id, a.step, a.attempt, a.cause, a.exit_code, a.signal, a.pid, util::format_utc(a.started_at),
            time_text(a.ended_at), a.cpu_user_ms, a.cpu_system_ms, a.max_rss_bytes, a.read_bytes,
            a.written_bytes, a.log_bytes, a.log_dropped, a.note)
      .run();
}

void put_step_output(Connection& db, const std::string& run_id, int step, const std::string& name,
                     const std::string& value) {
  db.cached("INSERT OR REPLACE INTO step_outputs VALUES (?, ?, ?, ?)").bind(run_id, step, name, value).run();
}

void put_artifact(Connection& db, const std::string& run_id, const ArtifactRecord& a) {
  db.cached(R"sql(
        INSERT OR REPLACE INTO artifacts (run_id, step, direction, path, kind, sha256, size, files, form, kept, list)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      )sql")
      .bind(run_id, a.step, a.output ? "out" : "in", a.path, a.kind, a.sha256, a.size, a.files, a.form,
            a.kept, a.list)
      .run();
}

void put_metrics(Connection& db, const std::string& run_id, int step,
                 const std::vector<MetricPoint>& points) {
  db.cached("DELETE FROM metrics WHERE run_id = ? AND step = ?").bind(run_id, step).run();
  db.cached("DELETE FROM metric_latest WHERE run_id = ? AND step = ?").bind(run_id, step).run();
  std::map<std::string, std::pair<const MetricPoint*, std::int64_t>> latest;
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> order;
  Statement& insert = db.cached("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)");
  for (const MetricPoint& point : points) {
    const std::int64_t seq = order[{point.name, point.at}]++;
    insert.bind(run_id, step, point.name, point.at, seq, point.value, time_text(point.time)).run();
    auto& [last, count] = latest[point.name];
    if (!last || point.at >= last->at) last = &point;
    ++count;
  }
  for (const auto& [name, last] : latest) {
    db.cached("INSERT INTO metric_latest VALUES (?, ?, ?, ?, ?)")
        .bind(run_id, step, name, last.first->value, last.second)
        .run();
  }
}

std::vector<StepRecord> steps_of(Connection& db, const std::string& run_id) {
  Statement row = db.prepare(R"sql(
    SELECT step, name, kind, command, state, reason, attempts, started_at, ended_at, cache_key, because,
           source_run, source_step
    FROM steps WHERE run_id = ? ORDER BY step
  )sql");
  row.bind(run_id);
  std::vector<StepRecord> steps;
  while (row.step()) {
    StepRecord s;
    s.step = static_cast<int>(row.integer(0));
    s.name = row.text(1);
    s.kind = row.text(2);
    s.command = row.text(3);
    s.state = parse_step_state(row.text(4)).value_or(StepState::lost);
    s.reason = row.text(5);
    s.attempts = static_cast<int>(row.integer(6));
    s.started_at = instant(row, 7);
    s.ended_at = instant(row, 8);
    if (!row.is_null(9)) s.cache_key = row.text(9);
    s.because = row.text(10);
    if (!row.is_null(11)) s.source_run = row.text(11);
    s.source_step = small(row, 12);
    steps.push_back(std::move(s));
  }
  return steps;
}

std::vector<AttemptRecord> attempts_of(Connection& db, const std::string& run_id) {
  Statement row = db.prepare(R"sql(
    SELECT step, attempt, cause, exit_code, signal, pid, started_at, ended_at, cpu_user_ms, cpu_system_ms,
           max_rss_bytes, read_bytes, written_bytes, log_bytes, log_dropped, note
    FROM attempts WHERE run_id = ? ORDER BY step, attempt
  )sql");
  row.bind(run_id);
  std::vector<AttemptRecord> attempts;
  while (row.step()) {
    AttemptRecord a;
    a.step = static_cast<int>(row.integer(0));
    a.attempt = static_cast<int>(row.integer(1));
    a.cause = row.text(2);
    a.exit_code = small(row, 3);
    a.signal = small(row, 4);
    a.pid = small(row, 5);
    a.started_at = instant(row, 6).value_or(Instant{});
    a.ended_at = instant(row, 7);
    a.cpu_user_ms = row.maybe_integer(8);
    a.cpu_system_ms = row.maybe_integer(9);
    a.max_rss_bytes = row.maybe_integer(10);
    a.read_bytes = row.maybe_integer(11);
    a.written_bytes = row.maybe_integer(12);
    a.log_bytes = static_cast<std::uint64_t>(row.integer(13));
    a.log_dropped = static_cast<std::uint64_t>(row.integer(14));
    a.note = row.text(15);
    attempts.push_back(std::move(a));
  }
  return attempts;
}

namespace {

// What a step has, or the step of an earlier run that it was taken from.
std::string of_sources(const char* columns, const char* table) {
  return std::string("SELECT ") + columns + " FROM steps s JOIN " + table + R"sql( t
    ON t.run_id = coalesce(s.source_run, s.run_id) AND t.step = coalesce(s.source_step, s.step)
    WHERE s.run_id = ?1 )sql";
}

ArtifactRecord read_artifact(const Statement& row) {
  ArtifactRecord a;
  a.step = static_cast<int>(row.integer(0));
  a.output = row.text(1) == "out";
  a.path = row.text(2);
  a.kind = row.text(3);
  a.sha256 = row.text(4);
  a.size = static_cast<std::uint64_t>(row.integer(5));
  a.files = static_cast<std::uint64_t>(row.integer(6));
  a.form = row.text(7);
  a.kept = row.integer(8) != 0;
  a.list = row.text(9);
  return a;
}

}  // namespace

std::vector<ArtifactRecord> artifacts_of(Connection& db, const std::string& run_id) {
  Statement row = db.prepare(
      of_sources("s.step, t.direction, t.path, t.kind, t.sha256, t.size, t.files, t.form, t.kept, t.list",
                 "artifacts") +
      "ORDER BY s.step, t.direction, t.path");
  row.bind(run_id);
  std::vector<ArtifactRecord> artifacts;
  while (row.step()) artifacts.push_back(read_artifact(row));
  return artifacts;
}

std::vector<ArtifactRecord> artifacts_of_step(Connection& db, const std::string& run_id, int step) {
  Statement& row = db.cached(R"sql(
    SELECT step, direction, path, kind, sha256, size, files, form, kept, list
    FROM artifacts WHERE run_id = ? AND step = ? ORDER BY direction, path
  )sql");
  row.bind(run_id, step);
  std::vector<ArtifactRecord> artifacts;
  while (row.step()) artifacts.push_back(read_artifact(row));
  row.reset();
  return artifacts;
}

std::optional<ArtifactRecord> latest_artifact(Connection& db, const std::string& path) {
  Statement row = db.prepare(R"sql(
    SELECT step, direction, path, kind, sha256, size, files, form
    FROM artifacts WHERE path = ? ORDER BY run_id DESC, direction DESC LIMIT 1
  )sql");
  row.bind(path);
  return row.step() ? std::optional(read_artifact(row)) : std::nullopt;
}

std::vector<MetricRecord> metrics_of(Connection& db, const std::string& run_id) {
  Statement row = db.prepare(of_sources("s.step, t.name, t.value, t.points", "metric_latest") +
                             "ORDER BY s.step, t.name");
  row.bind(run_id);
  std::vector<MetricRecord> metrics;
  while (row.step()) {
    metrics.push_back({static_cast<int>(row.integer(0)), row.text(1), row.maybe_real(2), row.integer(3)});
  }
  return metrics;
}

std::vector<MetricRecord> summary_metrics_of(Connection& db, const std::string& run_id, int limit) {
  static const std::string one = "AND t.points = 1 AND t.value IS NOT NULL ";
  static const std::string sql = of_sources("s.step, t.name, t.value, t.points", "metric_latest") + one +
                                 "AND s.step = (" + of_sources("s.step", "metric_latest") + one +
                                 "ORDER BY s.kind = 'evaluate' DESC, s.step DESC LIMIT 1) " +
                                 "ORDER BY t.name LIKE '%.%', t.name LIMIT ?2";
  Statement& row = db.cached(sql);
  row.bind(run_id, limit);
  std::vector<MetricRecord> metrics;
  while (row.step()) {
    metrics.push_back({static_cast<int>(row.integer(0)), row.text(1), row.maybe_real(2), row.integer(3)});
  }
  row.reset();
  return metrics;
}

std::vector<StepOutput> step_outputs_of(Connection& db, const std::string& run_id) {
  Statement row =
      db.prepare(of_sources("s.step, t.name, t.value", "step_outputs") + "ORDER BY s.step, t.name");
  row.bind(run_id);
  std::vector<StepOutput> outputs;
  while (row.step()) outputs.push_back({static_cast<int>(row.integer(0)), row.text(1), row.text(2)});
  return outputs;
}

std::vector<std::pair<std::string, std::string>> last_outputs(Connection& db, const std::string& pipeline,
                                                              const std::string& name) {
  Statement row = db.prepare(
      R"sql(
    SELECT o.name, o.value
    FROM ()sql" +
      newest_result("coalesce(s.source_run, s.run_id) AS run_id, coalesce(s.source_step, s.step) AS step") +
      R"sql() l
    JOIN step_outputs o ON o.run_id = l.run_id AND o.step = l.step
  )sql");
  row.bind(pipeline, name);
  std::vector<std::pair<std::string, std::string>> outputs;
  while (row.step()) outputs.emplace_back(row.text(0), row.text(1));
  return outputs;
}

}  // namespace mlops::db
