// What becomes of a run whose runner died, as far as it follows from what was written down: pure, as the
// machine is, so that a simulation can let it die anywhere. engine/recovery.cpp and engine/run.cpp do what it
// says.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/plan.hpp>
#include <mlops/records.hpp>

#include "engine/machine.hpp"
#include "engine/outcome.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::engine {

/// Who knows how a step ended.
enum class Witness {
  record,   ///< the database: nothing is to be changed
  nobody,   ///< the attempt on record never began: the step is pending
  journal,  ///< the line of its last attempt
};
/// `last_attempt` is the last one that the journal has, 0: none; `tries` how many it has since the run was
/// last started or resumed.
Witness witness(const StepRecord& record, int last_attempt, int tries);

struct Judgement {
  StepState state = StepState::pending;
  std::string reason;
};
/// A step whose last attempt has ended. `recorded` is what the database says of it, `tries` as above,
/// `problem` what is wrong with its outputs.
Judgement judge_step(const Step& step, StepState recorded, int tries, const AttemptOutcome& outcome,
                     const std::string& problem);

/// How a run ended whose runner did not see it.
struct Ending {
  RunState state = RunState::interrupted;
  std::optional<int> exit_code;
  std::string reason;
};

/// What decides about it besides the steps.
struct EndingFacts {
  const std::vector<char>& tolerated;     ///< by step: its failure does not count
  bool stopped = false;                   ///< some step was told to stop
  std::size_t unread = 0;                 ///< steps that ended well, but whose outputs nobody has looked at
  std::optional<FailureVerdict> failure;  ///< of the step that decides
  std::string problem;                    ///< why the run cannot be ended for good
  std::string cause;                      ///< why there is no runner, in words
};
Ending ending_of(const std::vector<StepRecord>& steps, const EndingFacts& facts);

/// How a step enters the run when that is resumed. `attempts` are those of the whole run, `part_start` is
/// when it was last started or resumed.
Entry entry_on_resume(const Step& step, const PlannedStep& planned, const StepRecord& record,
                      const std::vector<AttemptRecord>& attempts, Instant part_start);

}  // namespace mlops::engine
