// An old run again: its files put together in a scratch work tree, and what it makes there compared with what
// it made then.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>
#include <mlops/run.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::engine {

struct ReproduceOptions {
  std::string into;     ///< where to build the work tree; must be empty or not there
  bool deploy = false;  ///< also run steps of the kind deploy
};

/// A file that the run needs, and where it was found.
struct RestoredFile {
  std::string path;  ///< relative to the project
  std::string from;  ///< store, git, work tree (all with the content of then), or present: as it is now
};

/// A work tree in which an old run can be run again.
struct ScratchTree {
  std::string root;
  Pipeline pipeline;  ///< as frozen, moved into the tree
  RunSettings settings;
  RunRecord run;  ///< the old one
  std::vector<RestoredFile> restored;
  std::vector<std::pair<std::string, std::string>> lost;  ///< path, and why it cannot be restored
  std::set<std::string> left_out;                         ///< steps that would deploy, or wait for them
  std::vector<std::string> notes;                         ///< what else may differ from then
  std::string project;                                    ///< directory that the tree stands for
};

/// Throws Error(usage) when the run would write outside of the tree, or `into` is not empty.
ScratchTree make_scratch_tree(const Workspace& workspace, db::Database& database, const std::string& run_id,
                              const ReproduceOptions& options);

struct ComparedOutput {
  std::string path, step;
  std::string before, after;  ///< digests; empty: not made
  bool same = false;
};
struct ComparedMetric {
  std::string step, name;
  std::optional<double> before, after;
  bool same = false;
};
struct ComparedStep {
  std::string name;
  StepState before = StepState::pending, after = StepState::pending;
};
struct Comparison {
  std::vector<ComparedOutput> outputs;
  std::vector<ComparedMetric> metrics;
  std::vector<ComparedStep> steps;  ///< that did not end as they did then
  bool same() const;                ///< all outputs are equal, and all steps ended as then
};
Comparison compare_with(const ScratchTree& tree, const Workspace& workspace, db::Connection& then,
                        const Workspace& scratch, db::Connection& now, const std::string& new_id);

}  // namespace mlops::engine
