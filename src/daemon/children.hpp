// Runs that the daemon or a worker starts: `mlops run FILE --claimed FENCE`, each a process of its own that
// lives on when they do not.
#pragma once

#include <mlops/records.hpp>

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::daemon {

struct Job {
  std::int64_t fence = 0;
  std::string run_id;
  std::string file;  ///< absolute
  std::string what;  ///< "churn main 2026-…", for messages
  std::string pipeline;
  bool in_turn = false;   ///< not while another run of the pipeline that was started here goes on
  int priority = 0;       ///< larger ones first
  int concurrency = 0;    ///< runs of the pipeline at a time; 0: no limit
  bool replaces = false;  ///< it ends other runs of its pipeline
  bool request = false;   ///< of the queue, not a slot
  std::optional<Instant> start_by = {};  ///< it does not begin later
  int deaths = 0;                        ///< of processes that were to run it
  std::string waits = {}, told = {};     ///< what for, and what of that is on record
};

/// One that could not be started.
struct NotStarted {
  Job job;
  std::string why;
  bool for_now = false;  ///< the machine lacks something: it may work later
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

  /// It waits until there is room: in the place of the first of those that it replaces, which are taken off
  /// the list and returned; if there are none, behind those of its priority.
  std::vector<Job> add(Job job, const std::function<bool(const Job&)>& replaces);
  /// Of one that could not begin: it waits before all of its priority.
  void add_again(Job job);
  /// Takes those off the list that wait and are not to begin any more.
  std::vector<Job> take(const std::function<bool(const Job&)>& which);
  /// Starts what there is room for and `hold` lets go, which says what holds one back; returns these. Those
  /// that cannot be started are in `failed`.
  std::vector<Job> start(const std::function<std::string(const Job&)>& hold, std::vector<NotStarted>& failed);
  /// Starts this one now.
  std::optional<NotStarted> start(Job job);
  /// What those that wait do so for, by their fences, as far as that is not on record; then it is.
  std::vector<std::pair<std::int64_t, std::string>> untold_waits() const;
  void told_waits();
  /// Collects what has ended; also children that are not ours, as process 1 has to.
  std::vector<Ended> reap();

  /// Sends those that run a signal that asks them to end, and starts no others.
  void end_all(int signal);

  bool idle() const { return waiting_.empty() && running_.empty(); }
  bool all_started() const { return waiting_.empty(); }
  std::size_t running() const { return running_.size(); }
  std::size_t room() const { return most_ - std::min(most_, running_.size()); }
  /// When the next one of those that wait is late.
  std::optional<Instant> first_late() const;
  /// Of those that wait or run.
  std::set<std::int64_t> fences() const;
  /// The largest priority of those that wait.
  std::optional<int> first_waiting() const {
    return waiting_.empty() ? std::nullopt : std::optional(waiting_.front().priority);
  }

 private:
  std::string held_by_others(const Job& job) const;
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
