// Writes a run's progress to the database in small batches: what is lost with this process is in the
// keeper's journal.
#pragma once

#include <mlops/records.hpp>

#include "db/cache.hpp"
#include "db/database.hpp"
#include "engine/collect.hpp"
#include "process/attempt.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

class Recorder {
 public:
  Recorder(db::Database& database, std::string run_id) : database_(database), run_id_(std::move(run_id)) {}

  void put(const StepRecord& step);
  void put(const AttemptRecord& attempt);
  void put(Collection collection);
  /// What a step that runs depends on, and the files that it reads.
  void put_facts(int step, std::string facts, std::vector<ArtifactRecord> inputs);

  /// The commit of the pipeline's folder, as soon as it is known.
  void put_git(const std::string& commit, std::optional<bool> dirty);
  /// The results that a cached step refers to: if whoever made them is deleted meanwhile, they become its
  /// own.
  void put_hit(int step, std::string key, db::CachedResults results);

  /// Milliseconds until flush() is due; -1: nothing waits.
  int due_in_ms() const;
  /// Writes what is due. A database that cannot be written to now keeps everything in memory for a later try,
  /// and `problem()` says why.
  void flush_if_due();
  /// Writes everything; throws when that is not possible.
  void flush();
  /// As flush(), within a transaction of the caller.
  void write();
  const std::string& problem() const { return problem_; }

 private:
  void adopt_orphans();

  db::Database& database_;
  std::string run_id_;
  std::map<int, StepRecord> steps_;
  std::map<process::AttemptKey, AttemptRecord> attempts_;
  std::vector<Collection> collections_;
  struct Facts {
    int step = 0;
    std::string json;
    std::vector<ArtifactRecord> inputs;
  };
  std::vector<Facts> facts_;
  struct Hit {
    int step = 0;
    std::string key;
    db::CachedResults results;
  };
  std::vector<Hit> hits_;
  std::optional<std::pair<std::string, std::optional<bool>>> git_;
  std::int64_t due_ms_ = -1;
  std::string problem_;
};

}  // namespace mlops::engine
