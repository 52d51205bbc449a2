#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mlops::db {

// Writing: within a Transaction of the caller. All are idempotent: the key is (run, step, attempt).
void insert_step(Connection& db, const std::string& run_id, const StepRecord& step);
void update_step(Connection& db, const std::string& run_id, const StepRecord& step);
/// Gives run `to`, which has none, the `count` steps of run `from`; false, and nothing is done, unless all of
/// them are cached and what they were taken from is still there.
bool copy_cached_steps(Connection& db, const std::string& from, const std::string& to, int count);
void put_attempt(Connection& db, const std::string& run_id, const AttemptRecord& attempt);
void put_step_output(Connection& db, const std::string& run_id, int step, const std::string& name,
                     const std::string& value);
void put_artifact(Connection& db, const std::string& run_id, const ArtifactRecord& artifact);
/// Replaces all points that the step has in this run.
void put_metrics(Connection& db, const std::string& run_id, int step, const std::vector<MetricPoint>& points);

// Reading. Of a cached step, artifacts, metrics and outputs are those of the step that made them.
std::vector<StepRecord> steps_of(Connection& db, const std::string& run_id);
std::vector<AttemptRecord> attempts_of(Connection& db, const std::string& run_id);
std::vector<ArtifactRecord> artifacts_of(Connection& db, const std::string& run_id);
std::vector<ArtifactRecord> artifacts_of_step(Connection& db, const std::string& run_id, int step);
/// The newest artifact of a path, an output before an input of the same run.
std::optional<ArtifactRecord> latest_artifact(Connection& db, const std::string& path);
std::vector<MetricRecord> metrics_of(Connection& db, const std::string& run_id);
/// At most `limit` single figures (no curves) of the last evaluate step that has some, else of the last step.
std::vector<MetricRecord> summary_metrics_of(Connection& db, const std::string& run_id, int limit);
/// SQL for the newest result that a step (s) called ?2 has in a run (r) of pipeline ?1: it succeeded there,
/// or was cached.
std::string newest_result(const std::string& columns, const std::string& join = {});

struct StepOutput {
  int step = 0;
  std::string name;
  std::string value;
};
std::vector<StepOutput> step_outputs_of(Connection& db, const std::string& run_id);

/// The outputs of the step called `name` in the newest run of the pipeline in which it succeeded.
std::vector<std::pair<std::string, std::string>> last_outputs(Connection& db, const std::string& pipeline,
                                                              const std::string& name);

}  // namespace mlops::db
