// Runs that the daemon starts: `mlops run FILE --claimed FENCE`, each a process of its own that lives on when
// the daemon does not.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace mlops::daemon {

struct Job {
  std::int64_t fence = 0;
  std::string run_id;
  std::string file;  ///< absolute
  std::string what;  ///< "churn main 2026-…", for messages
  std::string pipeline;
  bool in_turn = false;  ///< not while another run of the pipeline that was started here goes on
};

/// One that has ended.
struct Ended {
  Job job;
  int status = 0;      ///< of waitpid()
  std::string output;  ///< the last lines that it wrote
};

class Children {
 public:
  /// `directory` is for what they write until they have a run; `most` run at a time.
  Children(std::string workspace_root, std::string directory, std::size_t most);

  void add(Job job) { waiting_.push_back(std::move(job)); }
  /// Starts what there is room for; returns these. Those that cannot be started are in `failed` with the
  /// reason.
  std::vector<Job> start(std::vector<std::pair<Job, std::string>>& failed);
  /// Collects what has ended; also children that are not ours, as process 1 has to.
  std::vector<Ended> reap();

  bool idle() const { return waiting_.empty() && running_.empty(); }
  bool all_started() const { return waiting_.empty(); }
  std::size_t running() const { return running_.size(); }

 private:
  std::string output_path(std::int64_t fence) const {
    return directory_ + "/" + std::to_string(fence) + ".out";
  }

  std::string root_;
  std::string directory_;
  std::size_t most_;
  std::deque<Job> waiting_;
  std::map<pid_t, Job> running_;
};

}  // namespace mlops::daemon
