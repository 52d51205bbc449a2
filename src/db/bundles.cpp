#include "db/bundles.hpp"

#include "db/cache.hpp"
#include "db/columns.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"

namespace mlops::db {

std::optional<RunBundle> read_bundle(Connection& db, const std::string& run_id) {
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
  Statement metric = db.prepare(
      "SELECT step, name, at, value, time FROM metrics WHERE run_id = ? ORDER BY step, name, at, seq");
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
  // Not delete_run(): what others refer to comes back at once.
  db.cached("DELETE FROM runs WHERE id = ?").bind(run.id).run();
  insert_run(db, run, bundle.definition, bundle.params, bundle.environment);
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
