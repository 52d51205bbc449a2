// The state of a DVC project: which stages have to run, and what is written when one has. What DVC does
// between runs, by its own files, so that either program may go on where the other stopped.
#pragma once

#include <mlops/pipeline.hpp>

#include "dvc/change.hpp"
#include "dvc/content_cache.hpp"
#include "dvc/git_ignore.hpp"
#include "dvc/hasher.hpp"
#include "dvc/lock_writer.hpp"
#include "dvc/read_write_lock.hpp"
#include "dvc/run_cache.hpp"
#include "dvc/stage_params.hpp"
#include "dvc/tracked_data.hpp"
#include "pipeline/dvc/config.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::dvc {

/// A file or directory of a stage.
struct File {
  std::string path;  ///< absolute
  std::string md5;   ///< empty: it is not there
  std::uint64_t size = 0, files = 1;
  bool executable = false;
  std::string kind;  ///< as in Output::kind
};

struct Check {
  enum class Verdict {
    unchanged,       ///< everything is in place
    put_back,        ///< outputs were put back from the cache, or would be
    from_run_cache,  ///< likewise, of a run that dvc.lock does not know
    run,
    refused,  ///< it can neither run nor be left alone; `problem` says why
  };
  Verdict verdict = Verdict::run;
  std::vector<Change> changes;
  std::string problem;
  std::vector<File> inputs, outputs;  ///< outputs unless it runs
  std::vector<std::string> restored;  ///< outputs that were put back, or would be; as declared
  std::map<std::string, std::string> params;
  std::string key;                   ///< names the results, as DVC's run cache does; empty if the stage runs
  std::vector<std::string> remarks;  ///< what became of tracked data, or would
};

struct CheckOptions {
  bool put_back = true;  ///< else nothing in the project is changed
  bool look_up = true;   ///< else the stage runs, whatever there is
};

struct Saved {
  std::vector<File> outputs;
  std::string problem;             ///< an output that is not there
  std::vector<std::string> notes;  ///< what did not work and does not matter to the stage
  std::string key;
};

/// Who runs the stages, as DVC tells its users.
struct Runner {
  pid_t pid = 0;  ///< 0: nothing is run
  std::string command;
};

/// For one thread.
class Project {
 public:
  Project(const Pipeline& pipeline, store::Objects& index, const Runner& runner = {});
  ~Project();

  Check check(int stage, const CheckOptions& options);

  /// Keeps DVC away from what the stage reads and writes, until done(); or tells which process of DVC is at
  /// it.
  std::optional<Holder> reserve(int stage) { return access_.take(stage, access_of(stage)); }
  std::optional<Holder> user_of(int stage) const { return access_.blocker(access_of(stage)); }
  void done(int stage) { access_.release(stage); }

  /// After the stage has run: keeps its outputs if `keep`, and writes what DVC would write.
  Saved save(int stage, bool keep);

  /// Writes the lock files that wait to be written. Throws Error.
  void flush();

  /// How many entries of lock files wait.
  bool has_waiting() const;

 private:
  struct State {        // of a stage, as it is now
    OrderedJson entry;  // of dvc.lock, without outs
    std::vector<File> inputs;
    std::map<std::string, std::string> params;
    std::vector<Change> changes;
    std::string problem;
  };
  struct OutState {
    const DvcOut* out;
    std::string path;
    std::optional<Content> now;
    const OrderedJson* locked = nullptr;
  };

  State look(int stage, bool put_back);
  std::vector<OutState> outs_of(int stage, const OrderedJson* entry, bool with_tree);
  bool put_back_outs(std::vector<OutState>& outs, bool really, std::vector<std::string>& restored);
  void expect(const OutState& out);
  bool may_use_run_cache(const DvcStage& stage) const;
  bool finish(int stage, const OrderedJson& entry, const std::vector<OutState>& outs, Check& result);
  std::string directory_of(int stage) const;
  Access access_of(int stage) const {
    return mlops::dvc::access_of(project_.stages[static_cast<std::size_t>(stage)], directory_of(stage));
  }
  LockWriter& lock_of(const DvcStage& stage);

  const Pipeline& pipeline_;
  const DvcProject& project_;
  Hasher hasher_;
  pipeline::dvc::Config config_;
  ContentCache cache_;
  TrackedData data_;
  RunCache runs_;
  std::map<std::string, LockWriter> locks_;
  GitIgnore ignored_;
  std::map<int, OrderedJson> pending_;  // entries of stages that were checked and run
  StageParams params_;
  ReadWriteLock access_;
};

}  // namespace mlops::dvc
