#include "db/bundles.hpp"

#include "db/cache.hpp"
#include "db/columns.hpp"
#include "db/datasets.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"

namespace mlops::db {

namespace {

constexpr const char* all_points =
    "SELECT step, name, at, value, time FROM metrics WHERE run_id = ? ORDER BY step, name, at, seq";
constexpr const char* last_points = R"sql(
  SELECT m.step, m.name, m.at, m.value, m.time FROM metric_latest l
  JOIN metrics m ON m.run_id = l.run_id AND m.step = l.step AND m.name = l.name AND (m.at, m.seq) =
    (SELECT at, seq FROM metrics x WHERE x.run_id = l.run_id AND x.step = l.step AND x.name = l.name
     ORDER BY at DESC, seq DESC LIMIT 1)
  WHERE l.run_id = ? ORDER BY m.step, m.name
)sql";

// What metric_latest has to be.
constexpr const char* summary = R"sql(
  SELECT m.run_id, m.step, m.name,
         (SELECT value FROM metrics x WHERE x.run_id = m.run_id AND x.step = m.step AND x.name = m.name
          ORDER BY at DESC, seq DESC LIMIT 1), count(*)
  FROM metrics m WHERE m.run_id = ?1 GROUP BY m.step, m.name
)sql";

bool has_more_points(Connection& db, const std::string& run_id, std::int64_t most) {
  if (most == 0) return false;
  Statement& row = db.cached("SELECT sum(points) FROM metric_latest WHERE run_id = ?").bind(run_id);
  const bool more = row.step() && row.integer(0) > most;
  row.reset();
  return more;
}

}  // namespace

std::optional<RunBundle> read_bundle(Connection& db, const std::string& run_id, std::int64_t most_points) {
  auto run = find_run(db, run_id);
  if (!run) return std::nullopt;
  RunBundle bundle;
  bundle.run = std::move(*run);
  bundle.params = params_of(db, run_id);
  bundle.environment = environment_of(db, run_id);
  bundle.tags = tags_of(db, run_id);
  bundle.steps = steps_of(db, run_id);
  bundle.attempts = attempts_of(db, run_id);

  bundle.definition = definition_source(db, bundle.run.definition).value_or("");
  Statement output =
      db.prepare("SELECT step, name, value FROM step_outputs WHERE run_id = ? ORDER BY step, name");
  output.bind(run_id);
  while (output.step())
    bundle.outputs.push_back({static_cast<int>(output.integer(0)), output.text(1), output.text(2)});
  for (const StepRecord& step : bundle.steps) {
    for (ArtifactRecord& artifact : artifacts_of_step(db, run_id, step.step))
      bundle.artifacts.push_back(std::move(artifact));
  }
  Statement metric = db.prepare(has_more_points(db, run_id, most_points) ? last_points : all_points);
  metric.bind(run_id);
  while (metric.step()) {
    bundle.metrics.emplace_back(
        static_cast<int>(metric.integer(0)),
        MetricPoint{metric.text(1), metric.integer(2), metric.maybe_real(3), instant(metric, 4)});
  }
  Statement facts = db.prepare("SELECT step, facts FROM step_facts WHERE run_id = ? ORDER BY step");
  facts.bind(run_id);
  while (facts.step()) bundle.facts.emplace_back(static_cast<int>(facts.integer(0)), facts.text(1));
  Statement key = db.prepare("SELECT step, key FROM cache WHERE run_id = ? ORDER BY step, key");
  key.bind(run_id);
  while (key.step()) bundle.cache.emplace_back(static_cast<int>(key.integer(0)), key.text(1));
  return bundle;
}

void write_bundle(Connection& db, const RunBundle& bundle) {
  const RunRecord& run = bundle.run;
  const std::vector<Tag> tags_here = tags_of(db, run.id);
  const auto pin = pin_of_run(db, run.id);
  // Not delete_run(): what others refer to comes back at once.
  db.cached("DELETE FROM runs WHERE id = ?").bind(run.id).run();
  insert_run(db, run, bundle.definition, bundle.params, bundle.environment);
  db.cached("UPDATE definitions SET source = ?2 WHERE sha256 = ?1 AND source <> ?2")
      .bind(run.definition, bundle.definition)
      .run();
  db.cached(R"sql(
        UPDATE runs SET exit_code = ?2, ended_at = ?3, duration_ms = ?4, resumes = ?5, git_commit = ?6,
                        git_dirty = ?7, part_started_at = ?8
        WHERE id = ?1
      )sql")
      .bind(run.id, run.exit_code, time_text(run.ended_at), run.duration_ms, run.resumes, run.git_commit,
            run.git_dirty, util::format_utc(run.part_started_at))
      .run();
  for (const auto& tags : {bundle.tags, tags_here}) {
    for (const Tag& tag : tags) put_tag(db, run.id, tag, run.created_at);
  }
  if (pin) pin_run(db, run.id, pin->note, pin->created_at);
  for (const StepRecord& step : bundle.steps) {
    insert_step(db, run.id, step);
    update_step(db, run.id, step);
  }
  for (const AttemptRecord& attempt : bundle.attempts) put_attempt(db, run.id, attempt);
  for (const StepOutput& output : bundle.outputs)
    put_step_output(db, run.id, output.step, output.name, output.value);
  for (const ArtifactRecord& artifact : bundle.artifacts) put_artifact(db, run.id, artifact);
  for (const StepRecord& step : bundle.steps) {
    std::vector<MetricPoint> points;
    for (const auto& [index, point] : bundle.metrics) {
      if (index == step.step) points.push_back(point);
    }
    if (!points.empty()) put_metrics(db, run.id, step.step, points);
  }
  for (const auto& [step, facts] : bundle.facts) put_facts(db, run.id, step, facts);
  for (const auto& [step, key] : bundle.cache) {
    const auto known = find_cached(db, key);
    if (!known || known->maker.run <= run.id)
      put_cached(db, key, run.id, step, run.ended_at.value_or(run.created_at));
  }
}

void mend_bundle(Connection& db, const RunBundle& bundle, std::int64_t most_points) {
  const std::string& id = bundle.run.id;
  std::vector<std::string> keep = {"step_traces", "hidden_files"};
  const bool more = has_more_points(db, id, most_points);
  if (more) keep.emplace_back("metrics");
  for (const std::string& table : keep)
    db.prepare("CREATE TEMP TABLE kept_" + table + " AS SELECT * FROM main." + table + " WHERE run_id = '" +
               id + "'")
        .run();
  Statement end = db.prepare("SELECT seq FROM run_ends WHERE run_id = ?");
  end.bind(id);
  const std::int64_t seq = end.step() ? end.integer(0) : 0;  // they begin with 1
  end.reset();
  for (const char* table :
       {"steps", "attempts", "step_outputs", "artifacts", "metrics", "metric_latest", "step_facts", "cache",
        "run_params", "run_environment", "step_traces", "hidden_files"})
    db.prepare(std::string("DELETE FROM ") + table + " WHERE run_id = ?").bind(id).run();
  write_bundle(db, bundle);
  for (const std::string& table : keep) {
    db.prepare("DELETE FROM " + table + " WHERE run_id = ?").bind(id).run();
    db.execute("INSERT INTO main." + table + " SELECT * FROM temp.kept_" + table);
    db.execute("DROP TABLE temp.kept_" + table);
  }
  if (more) {
    db.prepare("DELETE FROM metric_latest WHERE run_id = ?").bind(id).run();
    db.prepare(std::string("INSERT INTO metric_latest ") + summary).bind(id).run();
  }
  if (seq > 0) db.prepare("UPDATE run_ends SET run_id = ? WHERE seq = ?").bind(id, seq).run();
}

bool has_right_summary(Connection& db, const std::string& run_id) {
  static const std::string is =
      "SELECT run_id, step, name, value, points FROM metric_latest WHERE run_id = ?1";
  static const std::string sql = "SELECT * FROM (" + is + " EXCEPT " + summary +
                                 ") UNION ALL SELECT * FROM (" + summary + " EXCEPT " + is + ") LIMIT 1";
  Statement& row = db.cached(sql).bind(run_id);
  const bool right = !row.step();
  row.reset();
  return right;
}

int relink_sources(Connection& db) {
  // Keys have no index: one look at all steps finds who has results of their own.
  db.execute("CREATE TEMP TABLE makers (key TEXT PRIMARY KEY, run TEXT, step INTEGER)");
  db.execute(R"sql(
    INSERT OR IGNORE INTO temp.makers
    SELECT cache_key, run_id, step FROM steps
    WHERE cache_key IS NOT NULL AND source_run IS NULL AND state IN ('succeeded', 'cached') ORDER BY run_id, step
  )sql");
  db.execute(R"sql(
    UPDATE steps SET source_run = m.run, source_step = m.step FROM temp.makers m
    WHERE m.key = steps.cache_key AND source_run IS NOT NULL AND source_run NOT IN (SELECT id FROM runs)
  )sql");
  const int changes = db.changes();
  db.execute("DROP TABLE temp.makers");
  return changes;
}

std::vector<StepOfRun> latest_results(Connection& db) {
  std::vector<StepOfRun> list;
  Statement row = db.prepare(newest_result("s.run_id, s.step"));
  for (const std::string& pipeline : pipeline_names(db)) {
    const auto newest = latest_run(db, pipeline, std::nullopt);
    if (!newest) continue;
    for (const StepRecord& step : steps_of(db, *newest)) {
      row.bind(pipeline, step.name);
      if (row.step()) list.push_back({row.text(0), static_cast<int>(row.integer(1))});
    }
  }
  return list;
}

std::vector<StepOfRun> results_of(Connection& db, const std::string& run_id) {
  std::vector<StepOfRun> list;
  for (const StepRecord& step : steps_of(db, run_id)) {
    if (step.state == StepState::succeeded || step.state == StepState::cached)
      list.push_back({run_id, step.step});
  }
  return list;
}

StepOfRun maker_of(Connection& db, const StepOfRun& step) {
  Statement& row = db.cached("SELECT source_run, source_step FROM steps WHERE run_id = ? AND step = ?");
  row.bind(step.run, step.step);
  StepOfRun maker = step;
  if (row.step() && !row.is_null(0)) maker = {row.text(0), static_cast<int>(row.integer(1))};
  row.reset();
  return maker;
}

}  // namespace mlops::db
