// Runs that make the same files take turns: each live run of a workspace says which outputs it makes.
//
// .mlops/claims/RUN: "parent RUN\n" or "parent\n", then one absolute path a line, sorted; locked as long as
// the run's runner lives. .mlops/claims/lock is held while the list is looked at and added to.
#pragma once

#include <mlops/plan.hpp>
#include <mlops/workspace.hpp>

#include "util/fd.hpp"

#include <functional>
#include <string>
#include <vector>

namespace mlops::engine {

/// From its construction to its end no other run of the workspace makes any of these files.
class OutputClaim {
 public:
  /// Waits as long as another live run, or the keeper of a dead one, makes one of `paths`, or a file above or
  /// below it; `say` hears of each for whom it waits. Runs within which this one was started count as this
  /// one.
  OutputClaim(const Workspace& workspace, const std::string& run_id, std::vector<std::string> paths,
              const std::function<void(const std::string&)>& say);
  ~OutputClaim();
  OutputClaim(const OutputClaim&) = delete;
  OutputClaim& operator=(const OutputClaim&) = delete;

 private:
  std::string path_;
  util::Fd fd_;
};

/// Absolute paths of all that the selected steps make.
std::vector<std::string> outputs_made_by(const Pipeline& pipeline, const Plan& plan);

}  // namespace mlops::engine
