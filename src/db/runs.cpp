#include "db/runs.hpp"

#include "db/cache.hpp"

#include "util/time.hpp"

#include <algorithm>

namespace mlops::db {

namespace {

constexpr const char* columns =
    "id, pipeline, file, definition, state, reason, exit_code, created_at, ended_at, duration_ms, steps, "
    "jobs, "
    "resumes, host, user, command_line, git_commit, git_dirty, mlops_version, runner_pid, boot_id";

std::optional<Instant> instant(const Statement& row, int column) {
  return row.is_null(column) ? std::nullopt : util::parse_utc(row.text(column));
}

RunRecord read(const Statement& row) {
  RunRecord run;
  run.id = row.text(0);
  run.pipeline = row.text(1);
  run.file = row.text(2);
  run.definition = row.text(3);
  run.state = parse_run_state(row.text(4)).value_or(RunState::interrupted);
  run.reason = row.text(5);
  if (!row.is_null(6)) run.exit_code = static_cast<int>(row.integer(6));
  run.created_at = instant(row, 7).value_or(Instant{});
  run.ended_at = instant(row, 8);
  run.duration_ms = row.maybe_integer(9);
  run.steps = static_cast<int>(row.integer(10));
  run.jobs = static_cast<int>(row.integer(11));
  run.resumes = static_cast<int>(row.integer(12));
  run.host = row.text(13);
  run.user = row.text(14);
  run.command_line = row.text(15);
  if (!row.is_null(16)) run.git_commit = row.text(16);
  if (!row.is_null(17)) run.git_dirty = row.integer(17) != 0;
  run.mlops_version = row.text(18);
  run.runner_pid = static_cast<int>(row.integer(19));
  run.boot_id = row.text(20);
  return run;
}

}  // namespace

void insert_run(Connection& db, const RunRecord& run, const std::string& definition_source,
                const std::vector<std::pair<std::string, std::string>>& params,
                const std::vector<std::string>& environment_names) {
  db.cached("INSERT OR IGNORE INTO definitions VALUES (?, ?, ?)")
      .bind(run.definition, definition_source, util::format_utc(run.created_at))
      .run();
  std::optional<std::string> no_time;
  db.cached(
        "INSERT INTO runs (id, pipeline, file, definition, state, reason, created_at, steps, jobs, host, "
        "user, "
        "command_line, mlops_version, runner_pid, boot_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?)")
      .bind(run.id, run.pipeline, run.file, run.definition, to_string(run.state), run.reason,
            util::format_utc(run.created_at), run.steps, run.jobs, run.host, run.user, run.command_line,
            run.mlops_version, run.runner_pid, run.boot_id)
      .run();
  for (const auto& [name, value] : params) {
    db.cached("INSERT OR REPLACE INTO run_params VALUES (?, ?, ?)").bind(run.id, name, value).run();
  }
  for (const std::string& name : environment_names) {
    db.cached("INSERT OR IGNORE INTO run_environment VALUES (?, ?)").bind(run.id, name).run();
  }
}

void set_git_state(Connection& db, const std::string& id, const std::string& commit,
                   std::optional<bool> dirty) {
  db.cached("UPDATE runs SET git_commit = ?2, git_dirty = ?3 WHERE id = ?1").bind(id, commit, dirty).run();
}

void reopen_run(Connection& db, const std::string& id, int runner_pid, const std::string& boot_id, int jobs) {
  db.cached(
        "UPDATE runs SET state = 'running', reason = '', exit_code = NULL, ended_at = NULL, resumes = "
        "resumes + 1, "
        "runner_pid = ?2, boot_id = ?3, jobs = ?4 WHERE id = ?1")
      .bind(id, runner_pid, boot_id, jobs)
      .run();
}

void finish_run(Connection& db, const std::string& id, RunState state, const std::string& reason,
                std::optional<int> exit_code, Instant ended_at, std::int64_t duration_ms) {
  db.cached(
        "UPDATE runs SET state = ?2, reason = ?3, exit_code = ?4, ended_at = ?5, "
        "duration_ms = coalesce(duration_ms, 0) + ?6 WHERE id = ?1")
      .bind(id, to_string(state), reason, exit_code, util::format_utc(ended_at), duration_ms)
      .run();
}

void delete_run(Connection& db, const std::string& id) {
  hand_over_results(db, id);
  db.cached("DELETE FROM runs WHERE id = ?").bind(id).run();
  db.cached("DELETE FROM definitions WHERE sha256 NOT IN (SELECT definition FROM runs)").bind().run();
}

std::optional<RunRecord> find_run(Connection& db, const std::string& id) {
  Statement& row = db.cached(std::string("SELECT ") + columns + " FROM runs WHERE id = ?").bind(id);
  if (!row.step()) return std::nullopt;
  RunRecord run = read(row);
  row.reset();
  return run;
}

std::vector<std::string> match_ids(Connection& db, const std::string& text, int limit) {
  std::vector<std::string> ids;
  // '~' sorts after all that an id can hold.
  Statement by_prefix =
      db.prepare("SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id DESC LIMIT ?2");
  by_prefix.bind(text, limit);
  while (by_prefix.step()) ids.push_back(by_prefix.text(0));
  if (ids.empty() && text.size() >= 4) {
    Statement by_end =
        db.prepare("SELECT id FROM runs WHERE substr(id, -length(?1)) = ?1 ORDER BY id DESC LIMIT ?2");
    by_end.bind(text, limit);
    while (by_end.step()) ids.push_back(by_end.text(0));
  }
  return ids;
}

std::optional<std::string> latest_run(Connection& db, const std::string& pipeline,
                                      std::optional<RunState> state) {
  RunFilter filter;
  filter.pipeline = pipeline;
  filter.state = state;
  filter.limit = 1;
  const auto runs = list_runs(db, filter);
  return runs.empty() ? std::nullopt : std::optional(runs[0].id);
}

std::vector<RunRecord> list_runs(Connection& db, const RunFilter& filter) {
  std::string sql = std::string("SELECT ") + columns + " FROM runs WHERE 1";
  if (!filter.pipeline.empty()) sql += " AND pipeline = ?1";
  if (filter.state) sql += " AND state = ?2";
  if (filter.since) sql += " AND created_at >= ?3";
  sql += " ORDER BY id DESC LIMIT ?4";
  Statement row = db.prepare(sql);
  if (!filter.pipeline.empty()) row.bind_one(1, filter.pipeline);
  if (filter.state) row.bind_one(2, to_string(*filter.state));
  if (filter.since) row.bind_one(3, util::format_utc(*filter.since));
  row.bind_one(4, filter.limit > 0 ? filter.limit : -1);
  std::vector<RunRecord> runs;
  while (row.step()) runs.push_back(read(row));
  return runs;
}

std::vector<std::pair<std::string, std::string>> params_of(Connection& db, const std::string& id) {
  std::vector<std::pair<std::string, std::string>> params;
  Statement row = db.prepare("SELECT name, value FROM run_params WHERE run_id = ? ORDER BY name");
  row.bind(id);
  while (row.step()) params.emplace_back(row.text(0), row.text(1));
  return params;
}

std::vector<std::string> environment_of(Connection& db, const std::string& id) {
  std::vector<std::string> names;
  Statement row = db.prepare("SELECT name FROM run_environment WHERE run_id = ? ORDER BY name");
  row.bind(id);
  while (row.step()) names.push_back(row.text(0));
  return names;
}

std::vector<std::string> pipeline_names(Connection& db) {
  // Steps from name to name along the index instead of reading it whole.
  Statement row = db.prepare(
      "WITH RECURSIVE names(name) AS (SELECT min(pipeline) FROM runs UNION ALL "
      "SELECT (SELECT min(pipeline) FROM runs WHERE pipeline > name) FROM names WHERE name IS NOT NULL) "
      "SELECT name FROM names WHERE name IS NOT NULL");
  std::vector<std::string> names;
  while (row.step()) names.push_back(row.text(0));
  return names;
}

std::map<std::string, std::int64_t> usual_durations_ms(Connection& db, const std::string& pipeline) {
  Statement row = db.prepare(
      "SELECT s.name, CAST((julianday(s.ended_at) - julianday(s.started_at)) * 86400000 AS INTEGER) FROM "
      "(SELECT id FROM runs WHERE pipeline = ? AND state = 'succeeded' ORDER BY id DESC LIMIT 5) r "
      "JOIN steps s ON s.run_id = r.id WHERE s.state = 'succeeded' AND s.started_at IS NOT NULL");
  row.bind(pipeline);
  std::map<std::string, std::vector<std::int64_t>> all;
  while (row.step()) all[row.text(0)].push_back(row.integer(1));
  std::map<std::string, std::int64_t> usual;
  for (auto& [name, durations] : all) {
    std::nth_element(durations.begin(), durations.begin() + static_cast<long>(durations.size() / 2),
                     durations.end());
    usual[name] = durations[durations.size() / 2];
  }
  return usual;
}

}  // namespace mlops::db
