// A run as a whole, to be carried to another database.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"
#include "db/steps.hpp"
#include "db/tags.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mlops::db {

/// All that is recorded of a run itself. What its cached steps took from other runs is in theirs.
struct RunBundle {
  RunRecord run;
  std::string definition;                                   ///< the bytes of the pipeline file
  std::vector<std::pair<std::string, std::string>> params;  ///< name, JSON
  std::vector<std::string> environment;                     ///< names
  std::vector<Tag> tags;
  std::vector<StepRecord> steps;
  std::vector<AttemptRecord> attempts;
  std::vector<StepOutput> outputs;
  std::vector<ArtifactRecord> artifacts;
  std::vector<std::pair<int, MetricPoint>> metrics;  ///< step, point
  std::vector<std::pair<int, std::string>> facts;    ///< step, JSON
  std::vector<std::pair<int, std::string>> cache;    ///< step, key under which its results can be had
};
std::optional<RunBundle> read_bundle(Connection& db, const std::string& run_id);

/// Within a Transaction. Replaces a run of the same id, but for its tags, which are added to. Keys of the
/// cache go to the newer of two runs.
void write_bundle(Connection& db, const RunBundle& bundle);

/// A step of a run.
struct StepOfRun {
  std::string run;
  int step = 0;
  bool operator==(const StepOfRun&) const = default;
};
/// For each step that the newest run of a pipeline has: the newest run of the pipeline in which it succeeded,
/// or was cached.
std::vector<StepOfRun> latest_results(Connection& db);
/// The steps of a run that succeeded or were cached.
std::vector<StepOfRun> results_of(Connection& db, const std::string& run_id);
/// Where the results of a step come from: itself, or the step of an earlier run.
StepOfRun maker_of(Connection& db, const StepOfRun& step);

}  // namespace mlops::db
