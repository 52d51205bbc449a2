// Door to src/engine: executing a plan, watching it, continuing an interrupted one.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/plan.hpp>
#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops {

namespace process {
struct KeeperProcess;
}

/// The claim of a schedule's slot, under which a run starts; see mlops/slots.hpp.
struct SlotClaim {
  std::int64_t fence = 0;  ///< grows with each claim: steps see it as MLOPS_FENCE
  std::string run_id;      ///< what the run will be called
};

/// How a run was asked for; frozen with it.
struct RunSettings {
  Selection selection;
  int jobs = 0;                           ///< steps at a time; 0: as many as the machine has cores
  bool keep_going = false;                ///< after a failure, go on with what does not depend on it
  bool use_cache = true;                  ///< take results of earlier runs, and keep those of this one
  bool force_all = false;                 ///< run every selected step
  std::vector<std::string> forced;        ///< or these; names of steps, or their bases
  bool trace_reads = false;               ///< find files that steps open without declaring them
  std::optional<KeepInputs> keep_inputs;  ///< over what the pipeline says
  std::optional<SlotClaim> slot;          ///< Error(overlap) if it is not valid any more when the run starts
  std::string command_line;
};

struct RunResult {
  std::string id;
  RunState state = RunState::failed;
  std::string reason;
  ExitCode exit_code = ExitCode::step_failed;
  int failed_step_code = 0;  ///< for --propagate-exit-code: the failed step's own, 128+N for signal N
  std::int64_t duration_ms = 0;
};

/// What observers learn when a run begins.
struct RunView {
  const Pipeline& pipeline;
  const Plan& plan;
  const std::string& id;
  const std::string& run_directory;
  int jobs;
  int steps_left;  ///< selected and not done in an earlier part of the run
  bool resumed;
  const std::map<std::string, std::int64_t>& usual_ms;  ///< by step name, from earlier runs
};

/// Hears of a run as it goes. All calls come from the thread that runs it.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void run_began(const RunView&) {}
  virtual void step_began(int step, int attempt) { (void)step, (void)attempt; }
  /// Raw bytes of a step's log, in order; a flood's middle is left out.
  virtual void step_output(int step, std::string_view bytes) { (void)step, (void)bytes; }
  virtual void step_waits(int step, const std::string& why, std::int64_t delay_ms) {
    (void)step, (void)why, (void)delay_ms;
  }
  virtual void step_ended(const StepRecord& record) { (void)record; }
  virtual void note(const std::string& text) { (void)text; }
  virtual void paused(bool now) { (void)now; }
  virtual void run_ended(const RunResult& result) { (void)result; }
  virtual bool wants_output() const { return false; }
  /// Milliseconds between calls of tick(); 0: never.
  virtual int tick_interval_ms() const { return 0; }
  virtual void tick() {}
};

/// Runs `plan` and records it. The keeper must have been forked before this process opened a database or
/// started a thread. Returns when all steps have ended or were given up; throws when the world broke.
RunResult run_plan(const Workspace& workspace, const Pipeline& pipeline, const Graph& graph, const Plan& plan,
                   const RunSettings& settings, process::KeeperProcess keeper,
                   const std::vector<RunObserver*>& observers);

/// Records a run of `file`, as it would be loaded, without looking at its steps, where they are known to be
/// done already (engine/repeat.hpp); nullopt where they are not: then the file has to be loaded and run.
std::optional<RunResult> repeat_run(const Workspace& workspace, const std::string& file,
                                    const LoadOptions& options, const RunSettings& settings,
                                    const std::vector<RunObserver*>& observers);

/// Continues run `id` from its frozen definition: waits for steps that its keeper still runs, then runs
/// what has not succeeded. `say` hears what is waited for, and that the file has changed. `jobs` 0: as
/// before. Throws Error(busy) when the run is still running and Error(usage) when there is nothing left to
/// do.
RunResult resume_run(const Workspace& workspace, const std::string& id, int jobs,
                     process::KeeperProcess keeper, const std::vector<RunObserver*>& observers,
                     const std::function<void(const std::string&)>& say);

}  // namespace mlops
