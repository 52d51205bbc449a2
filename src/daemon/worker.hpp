// `mlops worker`: runs what waits in queues. Any number of them share a workspace, with the daemon too; all
// that one knows is in the database, so that it may be killed at any time.
#pragma once

#include <mlops/workspace.hpp>

#include "daemon/dispatcher.hpp"
#include "daemon/wakeup.hpp"
#include "db/database.hpp"

#include <string>
#include <vector>

namespace mlops::daemon {

struct WorkerSettings {
  std::vector<std::string> queues;                            ///< empty: all
  std::size_t runs = 0;                                       ///< at a time; 0: usual_runs()
  bool once = false;                                          ///< end when nothing more can begin
  std::chrono::milliseconds stop_within = usual_stop_within;  ///< as DaemonSettings has it
  std::optional<std::int64_t> backfill =
      {};  ///< only this one, until nothing of it is left or it is not open any more
};

class Worker {
 public:
  Worker(const Workspace& workspace, WorkerSettings settings);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Until a signal asks it to stop, which leaves runs to themselves, but for those of process 1. False: one
  /// did.
  bool run();

 private:
  void work();
  bool is_over();

  const Workspace& workspace_;
  WorkerSettings settings_;
  std::string directory_;
  db::Database database_;
  Wakeup wakeup_;
  Dispatcher dispatcher_;
  std::optional<Instant> again_;  // when to try again what did not work
  bool told_ = false;             // of that
};

/// How many workers there are, by the kernel's word.
int live_workers(const Workspace& workspace);

}  // namespace mlops::daemon
