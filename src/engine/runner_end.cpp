// How a run ends: what it comes to, and its durable record.
#include "db/runs.hpp"
#include "engine/kept_record.hpp"
#include "engine/outcome.hpp"
#include "engine/repeat.hpp"
#include "engine/run_bell.hpp"
#include "engine/runner.hpp"
#include "notify/outbox.hpp"
#include "util/files.hpp"
#include "util/time.hpp"
#include "workspace/ballast.hpp"

#include <signal.h>
#include <unistd.h>

namespace mlops::engine {

RunResult Runner::conclude() {
  RunResult result;
  result.id = parts_.id;
  const int failed = machine_.first_failure();
  if (machine_.cancelled()) {
    result.state = RunState::cancelled;
    result.reason = "cancelled by " + signal_name(stop_signal_);
    result.exit_code = stop_signal_ == SIGINT ? ExitCode::interrupted : ExitCode::terminated;
  } else if (failed >= 0) {
    const Step& s = step(failed);
    const AttemptOutcome& outcome = machine_.last_outcome(failed);
    FailureVerdict verdict = verdict_of(s, outcome, record(failed).reason);
    result.state = RunState::failed;
    result.reason = std::move(verdict.reason);
    result.exit_code = verdict.exit_code;
    const bool has_code =
        outcome.kind == AttemptOutcome::Kind::exited || outcome.kind == AttemptOutcome::Kind::signalled;
    result.failed_step_code = has_code ? outcome.code : 0;
  } else {
    result.state = RunState::succeeded;
    result.exit_code = ExitCode::done;
  }
  if (!util::exists(parts_.workspace.database_path())) {
    throw Error(ExitCode::io,
                "the workspace in '" + parts_.workspace.root() +
                    "' was deleted while the run was going on: "
                    "nothing of it is recorded",
                "does a step clean the work tree? Keep the workspace elsewhere with --workspace");
  }
  take_git_state();
  result.duration_ms = util::monotonic_ms() - started_ms_;
  // The disk may be full just now and free in a moment: what happened is worth some patience.
  for (int patience = 8;; --patience) {
    try {
      recorder_.flush();
      db::Transaction transaction(parts_.database, db::Durability::full);
      db::Connection& connection = parts_.database.connection();
      db::finish_run(connection, parts_.id, result.state, result.reason, static_cast<int>(result.exit_code),
                     util::now(), result.duration_ms);
      notify::tell_end(connection, notify::addressees_of(parts_.pipeline), parts_.id);
      transaction.commit();
      break;
    } catch (const Error&) {
      if (workspace::drop_ballast(parts_.workspace)) continue;
      if (patience == 0) throw;
      ::usleep(500'000);
    }
  }
  keep_record(parts_.workspace, parts_.database.connection(), parts_.id);
  ring_end(parts_.workspace, parts_.database.connection(), parts_.id);
  if (!parts_.repeat_key.empty() && found_done_ == static_cast<int>(parts_.records.size()))
    remember_repeat(parts_.workspace, parts_.pipeline.file, {parts_.repeat_key, parts_.id, std::move(seen_)});
  for (RunObserver* observer : observers_) observer->run_ended(result);
  return result;
}

}  // namespace mlops::engine
