// Taking stock of what an attempt left: outputs, metrics, artifacts.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "util/digest.hpp"
#include "util/fd.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace mlops::engine {

struct CollectJob {
  int step = 0;
  int attempt = 0;
  bool succeeded = true;     ///< otherwise only metrics are of interest
  std::string directory;     ///< of the step, absolute
  std::string metrics_path;  ///< what MLOPS_METRICS named
  std::string output_path;   ///< what MLOPS_OUTPUT named
};

struct Collection {
  int step = 0;
  int attempt = 0;
  std::vector<std::pair<std::string, std::string>> outputs;
  std::vector<MetricPoint> metrics;
  std::vector<ArtifactRecord> artifacts;
  std::vector<std::string> notes;  ///< problems that do not fail the step
  std::string problem;             ///< one that does; empty: none
};

/// Digests of files seen in this run, so that one step's output is not read again as the next one's input.
/// Thread-safe.
class DigestMemo {
 public:
  std::optional<util::Content> hash(const std::string& path);

 private:
  using Key = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;
  std::mutex mutex_;
  std::map<Key, util::Content> known_;
};

/// Does one job now. Throws nothing: what goes wrong is in `problem`.
Collection collect(const CollectJob& job, const Step& step, const Workspace& workspace, DigestMemo& memo);

/// One thread for jobs that may read much, so that a large output holds up no other step.
class Collector {
 public:
  Collector(const Pipeline& pipeline, const Workspace& workspace);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  /// Readable when take() has something.
  int fd() const { return wake_.get(); }
  void submit(CollectJob job);
  std::vector<Collection> take();
  DigestMemo& memo() { return memo_; }

 private:
  void work();

  const Pipeline& pipeline_;
  const Workspace& workspace_;
  DigestMemo memo_;
  util::Fd wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<CollectJob> jobs_;
  std::vector<Collection> done_;
  bool closing_ = false;
  std::thread thread_;  // started with the first job
};

/// Where a path of `step` lies: absolute, lexically normalised. `directory` is the step's.
std::string step_path(const std::string& directory, const std::string& path);

/// The step's working directory, absolute.
std::string step_directory(const Pipeline& pipeline, const Step& step);

}  // namespace mlops::engine
