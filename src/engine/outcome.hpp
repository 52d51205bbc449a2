// What an exit record means, in words and for the machine.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>

#include "engine/machine.hpp"
#include "process/attempt.hpp"

#include <string>

namespace mlops::engine {

/// What the words need besides the record.
struct OutcomeContext {
  const Step* step = nullptr;
  std::string directory;     ///< where the step ran
  std::string path;          ///< its PATH
  bool memory_kill = false;  ///< the kernel killed something for lack of memory while it ran
};

AttemptOutcome outcome_of(const process::ExitRecord& record, const OutcomeContext& context);

/// What the failure of a step means for its run. A gate or validation that ends with an exit code has said
/// no, unless the code says that it could not be run (126, 127) or was killed.
struct FailureVerdict {
  ExitCode exit_code = ExitCode::step_failed;
  std::string reason;
};
FailureVerdict verdict_of(const Step& step, const AttemptOutcome& outcome, const std::string& reason);

/// The row of the attempt; `note` tells what the cause alone does not.
AttemptRecord record_of(const process::ExitRecord& record);

/// Ends what is left of an attempt whose keeper died: nobody would ever learn how it ends.
void end_lost_processes(const std::string& run_id, const std::string& step, int attempt);

/// The signal that ended a command of the step's script, as a shell tells it by its exit code; 0: none.
int signal_in_script(const Step& step, int code);

/// "SIGKILL" for 9.
std::string signal_name(int signal);

}  // namespace mlops::engine
