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
/// Of a run with more than `most_points` points of metrics, if that is not 0, only the last of each metric.
std::optional<RunBundle> read_bundle(Connection& db, const std::string& run_id, std::int64_t most_points = 0);

/// Within a Transaction. Replaces a run of the same id, but for its tags, which are added to, and its pin.
/// Keys of the cache go to the newer of two runs.
void write_bundle(Connection& db, const RunBundle& bundle);

/// Within a Transaction. As write_bundle() where what is here of the run is not to be relied on, and may be
/// there without the run itself. What bundles do not have stays: traces of reads, the place among the ends of
/// runs, and points of metrics, where there are more than `most_points`.
void mend_bundle(Connection& db, const RunBundle& bundle, std::int64_t most_points);

/// Whether the last points of a run's metrics, which lists show, are those of their histories.
bool has_right_summary(Connection& db, const std::string& run_id);

/// Within a Transaction: cached steps that took their results from a run which is not there are given to the
/// oldest run that has them by the same key. Returns how many found one.
int relink_sources(Connection& db);

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
