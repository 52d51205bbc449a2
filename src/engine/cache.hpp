// Whether a step's results are there already: its key looked up, its outputs found in place or put back from
// the store.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>
#include <mlops/run.hpp>
#include <mlops/workspace.hpp>

#include "db/cache.hpp"
#include "db/database.hpp"
#include "engine/job.hpp"
#include "engine/step_facts.hpp"
#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mlops::engine {

/// How a run uses earlier results.
struct CacheSettings {
  bool look_up = true;  ///< else every step runs
  bool keep = true;     ///< outputs go into the store
  bool force_all = false;
  std::set<std::string> forced;  ///< names of steps, or their bases
  pid_t keeper = 0;              ///< under which the steps run, as other programs are told; 0: none do
  std::string run = {};          ///< its id
};

CacheSettings cache_settings(const RunSettings& settings);

/// Why the results of `step` are never taken from an earlier run; empty if they may be.
std::string why_never_reused(const Step& step);

/// What is known of a step before its files are looked at.
struct OpenFacts {
  int step = 0;
  StepFacts facts;
};
/// Throws Error(usage) when the step's command needs a value that no step has set.
OpenFacts open_facts(const Pipeline& pipeline, int step, const OutputValues& values);

/// A file as it was when it was looked at.
struct SeenFile {
  std::string path;  ///< absolute
  store::FileStamp stamp;
};

struct CheckResult {
  int step = 0;
  bool hit = false;
  StepFacts facts;
  std::string key;                   ///< empty: the step's results are not reused
  std::vector<Cause> causes;         ///< why it runs, or why not
  db::CachedResults source;          ///< of a hit; without a maker if no run of this workspace made them
  std::string refused;               ///< why the step must not be started, if so
  std::string note;                  ///< what went wrong on the way, if anything
  std::vector<std::string> remarks;  ///< what was done on the way, or would be
  std::vector<SeenFile> seen;        ///< of a hit with `all_seen`: the files that it rests on
  bool all_seen = true;              ///< none of them was a directory, or changed just now
};

/// For one thread. Reads the database by a connection of its own.
class Cache {
 public:
  Cache(const Pipeline& pipeline, const Workspace& workspace, store::Objects& objects,
        store::Snapshots& snapshots, CacheSettings settings);

  /// Looks at the step's files and at earlier runs. With `put_back`, outputs that are not in place are
  /// restored, and only then is it a hit; without, it is enough that they could be.
  CheckResult check(OpenFacts open, bool put_back);

 private:
  std::optional<store::Content> look(const std::string& full);
  std::vector<FileFact> look_at(const std::string& directory, const std::vector<std::string>& paths);
  bool is_forced(const Step& step) const;
  std::vector<Cause> causes_of(const Step& step, const CheckResult& result);
  std::optional<db::CachedResults> find(const std::string& key);
  std::optional<std::vector<FileChange>> changes_inside(const db::CacheEntry& maker, const FileFact& before);
  /// Which step of the pipeline makes the file at `path` (of a fact), or the folder that it lies in; or
  /// empty.
  const std::string& maker_of(const std::string& path);
  /// The first declared output that is not among the recorded ones, or empty.
  std::string not_on_record(const Step& step, const std::vector<ArtifactRecord>& outputs) const;
  /// The first output that is neither in place nor can be had, or empty. `restored` are those put back.
  std::string place_outputs(const std::vector<ArtifactRecord>& outputs, bool put_back,
                            std::vector<std::string>& restored);
  /// An output that stays in place from run to run and is not what the results have; or empty.
  std::string edited_by_hand(const Step& step, const std::vector<ArtifactRecord>& outputs);
  db::Connection& connection();

  const Pipeline& pipeline_;
  const Workspace& workspace_;
  store::Objects& objects_;
  store::Snapshots& snapshots_;
  CacheSettings settings_;
  std::unique_ptr<db::Database> database_;
  int lookups_ = 0;
  std::vector<SeenFile> seen_;  // by the check that goes on
  bool all_seen_ = true;
  std::unordered_map<std::string, db::CachedResults> known_;  // by key
  std::optional<std::map<std::string, std::string>> makers_;  // path of an output -> step
  std::map<std::string, FileFact>
      expected_;  // outputs that would be put back before later steps look at them
};

}  // namespace mlops::engine
