// Which steps need not run, and what is kept of those that have: the workspace's own way, or that of a DVC
// project with its own files.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include "engine/cache.hpp"
#include "engine/collect.hpp"

#include <memory>

namespace mlops::engine {

/// For one thread.
class Results {
 public:
  virtual ~Results() = default;

  /// As Cache::check().
  virtual CheckResult check(OpenFacts open, bool put_back) = 0;

  /// Takes stock of what an attempt left. Throws nothing: what goes wrong is in `problem`.
  virtual Collection collect(const CollectJob& job) = 0;
};

/// The first of a step's inputs that is not what it was when the step was checked: nobody knows which of the
/// two the step has read, and its key would name the wrong one. What the step makes itself it may change.
/// Empty: none.
std::string changed_input(const std::vector<FileFact>& before, const Step& step, const std::string& directory,
                          const Workspace& workspace, store::Snapshots& snapshots);

std::unique_ptr<Results> make_results(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
                                      const CacheSettings& settings);

/// True where a step is checked and collected even if it declares no files.
bool checks_every_step(const Pipeline& pipeline);

/// True if a step that ended well leaves something to be read and kept.
bool makes_results(const Step& step, const Pipeline& pipeline);

/// True where the folders of outputs are made before a step runs.
bool makes_folders(const Pipeline& pipeline);

/// The results of a DVC project's stages; `pipeline.dvc` is set.
std::unique_ptr<Results> make_dvc_results(const Pipeline& pipeline, const Workspace& workspace, Depot& depot,
                                          const CacheSettings& settings);

}  // namespace mlops::engine
