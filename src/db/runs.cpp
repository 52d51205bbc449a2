#include "db/runs.hpp"

#include "db/cache.hpp"
#include "db/columns.hpp"
#include "db/triggers.hpp"
#include "util/id.hpp"

#include <algorithm>

namespace mlops::db {

namespace {

constexpr const char* run_columns = R"sql(
  id, pipeline, file, definition, state, reason, exit_code, created_at, ended_at, duration_ms, steps, jobs,
  resumes, host, user, command_line, git_commit, git_dirty, mlops_version, runner_pid, boot_id, part_started_at
)sql";

RunRecord read_run(const Statement& row) {
  RunRecord run;
  run.id = row.text(0);
  run.pipeline = row.text(1);
  run.file = row.text(2);
  run.definition = row.text(3);
  run.state = parse_run_state(row.text(4)).value_or(RunState::interrupted);
  run.reason = row.text(5);
  run.exit_code = small(row, 6);
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
  run.part_started_at = instant(row, 21).value_or(run.created_at);
  return run;
}

}  // namespace

void insert_run(Connection& db, const RunRecord& run, const std::string& definition_source,
                const std::vector<std::pair<std::string, std::string>>& params,
                const std::vector<std::string>& environment_names) {
  db.cached("INSERT OR IGNORE INTO definitions VALUES (?, ?, ?)")
      .bind(run.definition, definition_source, util::format_utc(run.created_at))
      .run();
  db.cached(R"sql(
        INSERT INTO runs (id, pipeline, file, definition, state, reason, created_at, steps, jobs, host, user,
                          command_line, mlops_version, runner_pid, boot_id)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      )sql")
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
  db.cached(R"sql(
        UPDATE runs SET state = 'running', reason = '', exit_code = NULL, ended_at = NULL,
                        resumes = resumes + 1, part_started_at = strftime('%Y-%m-%d %H:%M:%f', 'now'),
                        runner_pid = ?2, boot_id = ?3, jobs = ?4
        WHERE id = ?1
      )sql")
      .bind(id, runner_pid, boot_id, jobs)
      .run();
}

void finish_run(Connection& db, const std::string& id, RunState state, const std::string& reason,
                std::optional<int> exit_code, Instant ended_at, std::int64_t duration_ms) {
  db.cached(R"sql(
        UPDATE runs SET state = ?2, reason = ?3, exit_code = ?4, ended_at = ?5,
                        duration_ms = coalesce(duration_ms, 0) + ?6
        WHERE id = ?1
      )sql")
      .bind(id, to_string(state), reason, exit_code, util::format_utc(ended_at), duration_ms)
      .run();
  put_run_end(db, id);
}

std::set<std::string> delete_run(Connection& db, const std::string& id) {
  std::set<std::string> heirs = hand_over_results(db, id);
  Statement& row = db.cached("SELECT definition FROM runs WHERE id = ?").bind(id);
  const std::string definition = row.step() ? row.text(0) : std::string();
  row.reset();
  db.cached("DELETE FROM runs WHERE id = ?").bind(id).run();
  db.cached(R"sql(
        DELETE FROM definitions
        WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE definition = ?1)
      )sql")
      .bind(definition)
      .run();
  return heirs;
}

std::optional<RunRecord> find_run(Connection& db, const std::string& id) {
  Statement& row = db.cached(std::string("SELECT ") + run_columns + " FROM runs WHERE id = ?").bind(id);
  if (!row.step()) return std::nullopt;
  RunRecord run = read_run(row);
  row.reset();
  return run;
}

std::optional<std::string> definition_source(Connection& db, const std::string& sha256) {
  Statement row = db.prepare("SELECT source FROM definitions WHERE sha256 = ?");
  row.bind(sha256);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

std::optional<RunState> state_of_run(Connection& db, const std::string& id) {
  Statement& row = db.cached("SELECT state FROM runs WHERE id = ?").bind(id);
  std::optional<RunState> state;
  if (row.step()) state = parse_run_state(row.text(0));
  row.reset();
  return state;
}

bool run_exists(Connection& db, const std::string& id) {
  Statement& row = db.cached("SELECT 1 FROM runs WHERE id = ?").bind(id);
  const bool exists = row.step();
  row.reset();
  return exists;
}

std::vector<std::string> match_ids(Connection& db, const std::string& text, int limit) {
  std::vector<std::string> ids;
  // '~' sorts after all that an id can hold.
  Statement by_prefix =
      db.prepare("SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || '~' ORDER BY id DESC LIMIT ?2");
  by_prefix.bind(text, limit);
  while (by_prefix.step()) ids.push_back(by_prefix.text(0));
  if (ids.empty() && text.size() >= 4) {
    // The index runs_by_end finds the few whose last four characters fit.
    Statement by_end = db.prepare(R"sql(
      SELECT id FROM runs
      WHERE substr(id, -4) = substr(?1, -4) AND substr(id, -length(?1)) = ?1
      ORDER BY id DESC LIMIT ?2
    )sql");
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

namespace {

// Ids begin with their time, which is a little before created_at: a range of ids instead of a look at all
// runs.
constexpr std::chrono::minutes slack{1};

Statement select_runs(Connection& db, const char* what, const RunFilter& filter) {
  std::string sql = std::string("SELECT ") + what + " FROM runs WHERE 1";
  if (!filter.pipeline.empty()) sql += " AND pipeline = ?1";
  if (filter.state) sql += " AND state = ?2";
  if (filter.since) sql += " AND id >= ?3 AND created_at >= ?4";
  if (filter.tag) sql += " AND id IN (SELECT run_id FROM tags WHERE key = ?6 AND ?7 IN ('', value))";
  sql += " ORDER BY id DESC LIMIT ?5";
  Statement row = db.prepare(sql);
  if (!filter.pipeline.empty()) row.bind_one(1, filter.pipeline);
  if (filter.state) row.bind_one(2, to_string(*filter.state));
  if (filter.since) {
    row.bind_one(3, util::id_prefix(*filter.since - slack));
    row.bind_one(4, util::format_utc(*filter.since));
  }
  row.bind_one(5, filter.limit > 0 ? filter.limit : -1);
  if (filter.tag) {
    row.bind_one(6, filter.tag->key);
    row.bind_one(7, filter.tag->value);
  }
  return row;
}

}  // namespace

std::vector<RunRecord> list_runs(Connection& db, const RunFilter& filter) {
  Statement row = select_runs(db, run_columns, filter);
  std::vector<RunRecord> runs;
  while (row.step()) runs.push_back(read_run(row));
  return runs;
}

void for_each_id(Connection& db, const RunFilter& filter,
                 const std::function<void(const std::string& id, RunState state)>& on_run) {
  Statement row = select_runs(db, "id, state", filter);
  while (row.step()) on_run(row.text(0), parse_run_state(row.text(1)).value_or(RunState::interrupted));
}

std::vector<std::string> ids_to_prune(Connection& db, const Pruning& pruning, const std::string& below,
                                      int limit) {
  std::string upper = below;
  if (upper.empty()) {
    upper = pruning.before ? util::id_prefix(*pruning.before) : "~";
    if (pruning.keep > 0) {
      std::string sql = "SELECT id FROM runs WHERE 1";
      if (!pruning.pipeline.empty()) sql += " AND pipeline = ?1";
      Statement last_kept = db.prepare(sql + " ORDER BY id DESC LIMIT 1 OFFSET ?2");
      if (!pruning.pipeline.empty()) last_kept.bind_one(1, pruning.pipeline);
      last_kept.bind_one(2, pruning.keep - 1);
      if (!last_kept.step()) return {};
      upper = std::min(upper, last_kept.text(0));
    }
  }
  std::string sql =
      "SELECT id FROM runs WHERE id < ?1 AND state <> 'running' AND id NOT IN (SELECT run_id FROM "
      "pinned_runs)";
  if (!pruning.pipeline.empty()) sql += " AND pipeline = ?2";
  if (pruning.before) sql += " AND created_at < ?3";
  Statement row = db.prepare(sql + " ORDER BY id DESC LIMIT ?4");
  row.bind_one(1, upper);
  if (!pruning.pipeline.empty()) row.bind_one(2, pruning.pipeline);
  if (pruning.before) row.bind_one(3, util::format_utc(*pruning.before));
  row.bind_one(4, limit);
  std::vector<std::string> ids;
  while (row.step()) ids.push_back(row.text(0));
  return ids;
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
  Statement row = db.prepare(R"sql(
    WITH RECURSIVE names(name) AS (
      SELECT min(pipeline) FROM runs
      UNION ALL
      SELECT (SELECT min(pipeline) FROM runs WHERE pipeline > name) FROM names WHERE name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
  )sql");
  std::vector<std::string> names;
  while (row.step()) names.push_back(row.text(0));
  return names;
}

std::map<std::string, std::int64_t> usual_durations_ms(Connection& db, const std::string& pipeline) {
  Statement row = db.prepare(R"sql(
    SELECT s.name, CAST((julianday(s.ended_at) - julianday(s.started_at)) * 86400000 AS INTEGER)
    FROM (SELECT id FROM runs WHERE pipeline = ? AND state = 'succeeded' ORDER BY id DESC LIMIT 5) r
    JOIN steps s ON s.run_id = r.id
    WHERE s.state = 'succeeded' AND s.started_at IS NOT NULL
  )sql");
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
