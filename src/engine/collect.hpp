// Taking stock of what an attempt left: outputs, metrics, artifacts.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "engine/cache.hpp"
#include "store/lease.hpp"
#include "store/objects.hpp"
#include "store/snapshot.hpp"
#include "util/fd.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

namespace mlops::engine {

struct CollectJob {
  int step = 0;
  int attempt = 0;
  bool succeeded = true;                    ///< otherwise only metrics are of interest
  std::string directory;                    ///< of the step, absolute
  std::string metrics_path;                 ///< what MLOPS_METRICS named
  std::string output_path;                  ///< what MLOPS_OUTPUT named
  bool keep = true;                         ///< outputs go into the store
  std::string key;                          ///< under which the results may be reused; empty: they may not
  std::string trace_path = {};              ///< where the keeper left what it opened; empty: nobody looked
  std::vector<ArtifactRecord> inputs = {};  ///< those that are to be kept if they are small enough
  bool keep_large = false;                  ///< all of them
};

struct Collection {
  int step = 0;
  int attempt = 0;
  bool succeeded = true;
  std::vector<std::pair<std::string, std::string>> outputs;
  std::vector<MetricPoint> metrics;
  std::vector<ArtifactRecord> artifacts;
  std::vector<std::string> notes;  ///< problems that do not fail the step
  std::string problem;             ///< one that does; empty: none
  std::string key;                 ///< under which the results can be had again; empty: they cannot
  std::optional<TraceRecord> trace;
  std::vector<HiddenFile> hidden;  ///< of a traced step
};

/// The workspace's store, with what is remembered of files. Made when it is first needed. What a run
/// publishes or finds there stays at least until the run has recorded it and ended.
struct Depot {
  explicit Depot(const Workspace& workspace)
      : objects(workspace.store_directory()), lease(objects), snapshots(objects) {}
  store::Objects objects;
  store::Lease lease;
  store::Snapshots snapshots;
  std::atomic<bool> stopping = false;  ///< the run is to end: nobody is waited for any more
};

/// Does one job now. Throws nothing: what goes wrong is in `problem`. Without a `depot` outputs are only
/// looked for, not read.
Collection collect(const CollectJob& job, const Step& step, const Workspace& workspace, Depot* depot);

/// What a traced attempt opened without declaring it, as `step` has it; without a `depot` nothing is
/// digested.
void collect_trace(const CollectJob& job, const Step& step, const Workspace& workspace, Depot* depot,
                   Collection& result);

class Results;

/// One thread for all that may read much, so that a large file holds up no other step: what steps left is
/// collected, and steps that are ready are checked against earlier runs.
class Collector {
 public:
  Collector(const Pipeline& pipeline, const Workspace& workspace, CacheSettings settings);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  using Job = std::variant<CollectJob, OpenFacts>;
  using Result = std::variant<Collection, CheckResult>;

  /// Readable when take() has something.
  int fd() const { return wake_.get(); }
  void submit(Job job);
  std::vector<Result> take();
  /// Whether take() will still have something.
  bool busy() const { return open_ > 0; }
  /// Whatever a check waits for is not waited for any more.
  void stop_waiting();
  /// Ends the reading of large files; what was asked for is not answered any more.
  void abort();

 private:
  void work();
  Result do_job(Job job);

  const Pipeline& pipeline_;
  const Workspace& workspace_;
  CacheSettings settings_;
  int open_ = 0;                  // jobs submitted and not taken
  std::unique_ptr<Depot> depot_;  // both of the thread
  std::unique_ptr<Results> results_;
  util::Fd wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<Result> done_;
  bool closing_ = false, stopping_ = false;
  std::thread thread_;  // started with the first job
};

/// Where a path of `step` lies: absolute, lexically normalised. `directory` is the step's.
std::string step_path(const std::string& directory, const std::string& path);

/// The step's working directory, absolute.
std::string step_directory(const Pipeline& pipeline, const Step& step);

}  // namespace mlops::engine
