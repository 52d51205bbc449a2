// The loop around the machine: performs its actions and reports what came of them. It waits on the keeper's
// socket, signals, the collector and timers, and never polls.
#pragma once

#include <mlops/run.hpp>

#include "db/database.hpp"
#include "engine/cache.hpp"
#include "engine/collect.hpp"
#include "engine/job.hpp"
#include "engine/machine.hpp"
#include "engine/recorder.hpp"
#include "executors/local.hpp"
#include "pipeline/conditions.hpp"
#include "pipeline/paths.hpp"
#include "workspace/environment.hpp"

#include <map>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace mlops::engine {

/// Everything a run has when its loop starts; all references outlive the Runner.
struct RunParts {
  const Workspace& workspace;
  db::Database& database;
  const Pipeline& pipeline;
  const Graph& graph;
  const Plan& plan;
  std::string id;
  std::string run_directory;
  std::vector<Entry> entries = {};                       ///< by step
  std::vector<StepRecord> records = {};                  ///< by step
  OutputValues outputs = {};                             ///< known before the first step
  std::map<int, std::vector<MetricPoint>> metrics = {};  ///< likewise, of steps that are done
  std::map<std::string, std::string> secrets;
  std::map<std::string, std::int64_t> usual_ms = {};
  int jobs = 1;
  bool keep_going = false;
  bool resumed = false;
  CacheSettings cache;
  Json environment = {};   ///< variables whose values belong to the definition: of a run that is resumed
  std::int64_t fence = 0;  ///< of the slot that it is for, if any
  bool trace_reads = false;
  KeepInputs keep_inputs = KeepInputs::small;
  std::string repeat_key = {};  ///< set: remember it if there is nothing to do, see engine/repeat.hpp
};

class Runner {
 public:
  Runner(RunParts parts, process::KeeperProcess keeper, std::vector<RunObserver*> observers);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  RunResult run();

 private:
  struct Attempt {  // one that runs
    process::AttemptKey key;
    std::string path;  // PATH of the step
    util::Fd log;
    std::uint64_t log_read = 0;
    std::uint64_t memory_kills = 0;  // by the kernel, before it began
    AttemptRecord record;
  };

  void wait();
  void perform_actions();
  void perform(const Check& action);
  void perform(const Evaluate& action);
  void perform(const StartAttempt& action);
  void perform(const StopAttempt& action);
  void perform(const Collect& action);
  void perform(const WaitForRetry& action);
  void perform(const Settle& action);
  Json value_of(const std::string& step, const std::string& field, const std::string& key) const;
  void take_keeper_events();
  void attempt_started(const executors::Started& event);
  void attempt_ended(const process::ExitRecord& record);
  void keeper_died();
  void take_signals();
  void take_collections();
  void take_git_state();
  void finish_collection(Collection collection);
  void finish_check(CheckResult result);
  void set_old_outputs_aside(int step);
  void settle_old_outputs(int step, StepState state);
  void read_output(Attempt& attempt, bool all);
  void read_outputs();
  void tick_observers();
  std::uint64_t recent_memory_kills();
  bool is_made(const std::string& record_path);
  CollectJob collect_job(int step, int attempt, bool succeeded) const;
  StepRecord& record(int step) { return parts_.records[static_cast<std::size_t>(step)]; }
  const Step& step(int index) const { return parts_.pipeline.steps[static_cast<std::size_t>(index)]; }
  RunResult conclude();
  void note(const std::string& text);

  RunParts parts_;
  std::vector<RunObserver*> observers_;
  JobContext jobs_;
  Machine machine_;
  Recorder recorder_;
  Collector collector_;
  std::optional<executors::Local> executor_;
  util::Fd signals_, poll_;
  std::map<process::AttemptKey, Attempt> running_;
  std::map<int, std::string> keys_;                    // of steps that were checked and run
  std::map<int, std::string> refused_;                 // why steps must not be started
  std::map<int, std::vector<ArtifactRecord>> inputs_;  // of these, what they read and no step makes
  std::vector<SeenFile> seen_;                         // all files, as long as all steps were found done
  std::optional<pipeline::Products> products_;         // of the pipeline, when first needed
  std::map<int, std::vector<MetricPoint>> metrics_;    // of ended steps, for conditions
  pipeline::Conditions conditions_;
  std::unordered_map<std::string, int> index_of_;
  std::thread git_;
  util::Fd git_known_;  // readable when git_state_ is there
  std::optional<workspace::GitState> git_state_;
  std::int64_t started_ms_ = 0;
  std::int64_t next_tick_ms_ = INT64_MAX;
  std::uint64_t memory_kills_ = 0;
  std::int64_t memory_kills_asked_ms_ = -1'000'000;
  int stop_signal_ = 0;
  int keeper_deaths_ = 0;
  bool wants_output_ = false;
  bool more_output_ = false;
  bool told_of_problem_ = false;
  int found_done_ = 0;  // steps whose files are in seen_
};

}  // namespace mlops::engine
