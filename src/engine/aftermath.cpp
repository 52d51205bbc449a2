#include "engine/aftermath.hpp"

#include <algorithm>

namespace mlops::engine {

using Kind = AttemptOutcome::Kind;

Witness witness(const StepRecord& record, int last_attempt, int tries) {
  // The line in the journal comes before the process: an attempt without it never started.
  const bool began = last_attempt > 0 && last_attempt >= record.attempts;
  switch (record.state) {
    case StepState::succeeded:
    case StepState::cached:
    case StepState::skipped: return Witness::record;
    // One that waits to be run again has its earlier attempts in the journal too: they do not count.
    case StepState::pending: return last_attempt > record.attempts ? Witness::journal : Witness::record;
    case StepState::running:
    case StepState::retrying: return began ? Witness::journal : Witness::nobody;
    case StepState::failed:
    case StepState::cancelled:
    case StepState::lost:
    case StepState::interrupted:
    case StepState::not_run: break;
  }
  // What ended without an attempt since the run was resumed did not end as the one of before.
  return began && (tries > 0 || last_attempt > record.attempts) ? Witness::journal : Witness::record;
}

Judgement judge_step(const Step& step, StepState recorded, int tries, const AttemptOutcome& outcome,
                     const std::string& problem) {
  const bool good = outcome.kind == Kind::succeeded;
  if (outcome.kind == Kind::stopped) return {StepState::cancelled, outcome.words};
  if (good && problem.empty()) return {StepState::succeeded, ""};
  const bool had_failed = recorded == StepState::failed;  // which whoever ran it had decided
  // As it would have been, had its runner lived; what had ended before the run was resumed has had its tries.
  if (!good && !had_failed && tries > 0 && tries <= step.retry.times && is_retried(step.retry, outcome))
    return {StepState::pending, outcome.words + "; it was to be tried again"};
  return {StepState::failed, good ? problem : outcome.words};
}

Ending ending_of(const std::vector<StepRecord>& steps, const EndingFacts& facts) {
  std::size_t open = 0, done = 0;
  bool failed = false;
  for (const StepRecord& step : steps) {
    const bool forgiven = facts.tolerated[static_cast<std::size_t>(step.step)];
    const bool good = step.state == StepState::succeeded || step.state == StepState::cached ||
                      step.state == StepState::skipped || (step.state == StepState::failed && forgiven);
    done += good;
    failed = failed || (step.state == StepState::failed && !forgiven);
    open += !good && step.state != StepState::failed;
  }
  if (facts.stopped) {
    return {RunState::cancelled, static_cast<int>(ExitCode::terminated),
            "cancelled when its runner had died; clean-up steps were not run"};
  }
  if (open == 0 && facts.problem.empty()) {
    const std::string seen = "its runner died after the last step had started; its keeper saw the end";
    // Not a success of which nothing can be found again: who resumes it reads the outputs, and ends it.
    if (!failed && facts.unread > 0) {
      return {RunState::interrupted, std::nullopt,
              "all steps are done, but its runner died before the outputs of " +
                  (facts.unread == 1 ? std::string("one") : std::to_string(facts.unread)) +
                  " were recorded: resuming it does that"};
    }
    if (!failed) return {RunState::succeeded, 0, seen};
    const FailureVerdict verdict =
        facts.failure.value_or(FailureVerdict{ExitCode::step_failed, "a step failed"});
    return {RunState::failed, static_cast<int>(verdict.exit_code), verdict.reason + "; " + seen};
  }
  return {RunState::interrupted, std::nullopt,
          facts.cause + "; " + std::to_string(done) + " of " + std::to_string(steps.size()) +
              " steps are done" + facts.problem};
}

namespace {

// How a step that is done ended, as far as conditions may ask.
AttemptOutcome last_outcome(const std::vector<AttemptRecord>& attempts, const StepRecord& record) {
  if (record.state != StepState::failed) return {Kind::succeeded, 0, ""};
  for (auto it = attempts.rbegin(); it != attempts.rend(); ++it) {
    if (it->step == record.step && it->exit_code) return {Kind::exited, *it->exit_code, record.reason};
  }
  return {Kind::signalled, 0, record.reason};
}

// Whether a failure would have been answered by another attempt, had the run not been stopping then.
bool has_tries_left(const std::vector<AttemptRecord>& attempts, const StepRecord& record, const Step& step,
                    Instant part_start) {
  int tries = 0;
  Kind how = Kind::signalled;
  int code = 0;
  for (const AttemptRecord& attempt : attempts) {
    if (attempt.step != record.step || attempt.started_at < part_start) continue;
    ++tries;
    code = attempt.exit_code.value_or(0);
    how = attempt.cause == "timeout"     ? Kind::timeout
          : attempt.cause == "no_output" ? Kind::no_output
          : attempt.exit_code == 0       ? Kind::succeeded  // its outputs were wanting
          : attempt.exit_code            ? Kind::exited
                                         : Kind::signalled;
  }
  return tries > 0 && tries <= step.retry.times && how != Kind::succeeded &&
         is_retried(step.retry, {how, code, ""});
}

}  // namespace

Entry entry_on_resume(const Step& step, const PlannedStep& planned, const StepRecord& record,
                      const std::vector<AttemptRecord>& attempts, Instant part_start) {
  const bool done = record.state == StepState::succeeded || record.state == StepState::cached ||
                    (record.state == StepState::failed && step.continue_on_failure &&
                     !has_tries_left(attempts, record, step, part_start));
  // Clean-up belongs to each part of a run: it runs again.
  if (done && !step.always)
    return {Entry::Kind::done, record.attempts, "", record.state, last_outcome(attempts, record)};
  if (!planned.selected) return {Entry::Kind::leave_out, record.attempts, planned.reason, {}, {}};
  return {Entry::Kind::run, record.attempts, "", StepState::succeeded, {}};
}

}  // namespace mlops::engine
