#include "engine/recovery.hpp"

#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/aside.hpp"
#include "engine/collect.hpp"
#include "engine/outcome.hpp"
#include "engine/recorder.hpp"
#include "process/attempt.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <poll.h>

#include <map>
#include <memory>

namespace mlops::engine {

using process::LockFile;

Liveness liveness(const Workspace& workspace, const std::string& run_id) {
  const std::string directory = workspace.run_directory(run_id);
  if (LockFile::is_locked(layout::in(directory, layout::runner_lock))) return Liveness::running;
  return LockFile::is_locked(layout::in(directory, layout::keeper_lock)) ? Liveness::orphaned
                                                                         : Liveness::dead;
}

FrozenRun load_frozen(const Workspace& workspace, const std::string& run_id) {
  const std::string directory = workspace.run_directory(run_id);
  const Json settings = Json::parse(util::read_file(layout::in(directory, layout::settings)), nullptr, false);
  if (!settings.is_object()) {
    throw Error(ExitCode::io, "cannot read '" + layout::in(directory, layout::settings) + "': it is damaged");
  }
  FrozenRun frozen;
  LoadOptions options;
  options.check_files = false;
  options.overrides = settings.value("overrides", std::vector<std::string>());
  frozen.pipeline = parse_pipeline(util::read_file(layout::in(directory, layout::definition)),
                                   settings.value("file", std::string("pipeline.yaml")), options);
  const Json selection = settings.value("selection", Json::object());
  frozen.settings.selection.only = selection.value("only", std::vector<std::string>());
  frozen.settings.selection.from = selection.value("from", std::vector<std::string>());
  frozen.settings.selection.until = selection.value("until", std::vector<std::string>());
  frozen.settings.selection.skip = selection.value("skip", std::vector<std::string>());
  frozen.settings.jobs = settings.value("jobs", 1);
  frozen.settings.keep_going = settings.value("keep_going", false);
  frozen.settings.use_cache = settings.value("use_cache", true);
  frozen.settings.force_all = settings.value("force_all", false);
  frozen.settings.forced = settings.value("forced", std::vector<std::string>());
  return frozen;
}

void wait_for_keeper(const std::string& run_directory,
                     const std::function<void(const std::string&)>& on_wait) {
  const std::string path = layout::in(run_directory, layout::keeper_lock);
  bool told = false;
  while (LockFile::is_locked(path)) {
    const auto holder = LockFile::holder(path);
    if (!told && on_wait)
      on_wait("waiting for steps that still run under the run's keeper" +
              (holder ? " (process " + std::to_string(holder->pid) + ")" : std::string()));
    told = true;
    const util::Fd keeper = holder ? process::open_process(*holder) : util::Fd();
    if (!keeper) {
      util::pause_us(20'000);  // it is just starting or just ending
      continue;
    }
    pollfd waiting{keeper.get(), POLLIN, 0};
    ::poll(&waiting, 1, -1);
  }
}

namespace {

// The last journal entry of each step decides what became of it.
struct StepFate {
  const process::JournalEntry* last = nullptr;
};

// Old outputs that waited for a step which did not succeed come back.
void settle_asides(const Workspace& workspace, const FrozenRun& frozen, const std::string& directory,
                   const std::vector<StepRecord>& steps) {
  for (const StepRecord& record : steps) {
    const std::string aside = aside_directory(directory, record.name);
    if (!util::exists(aside)) continue;
    if (record.state == StepState::succeeded) {
      drop_aside(aside);
    } else {
      const Step& step = frozen.pipeline.steps[static_cast<std::size_t>(record.step)];
      bring_back(aside, paths_to_set_aside(frozen.pipeline, step, workspace.state_directory()));
    }
  }
}

void apply_journal(const Workspace& workspace, const RunRecord& run, const FrozenRun& frozen,
                   std::vector<StepRecord>& steps, Recorder& recorder) {
  const std::string directory = workspace.run_directory(run.id);
  const auto journal =
      process::parse_journal(util::read_file_if_exists(layout::in(directory, layout::attempts)).value_or(""));
  std::map<int, StepFate> fates;
  std::unique_ptr<Depot> depot;
  for (const process::JournalEntry& entry : journal) {
    if (entry.key.step >= static_cast<int>(steps.size())) continue;
    fates[entry.key.step].last = &entry;
    if (entry.end) {
      AttemptRecord record = record_of(*entry.end);
      recorder.put(record);
    } else {
      AttemptRecord record;
      record.step = entry.key.step;
      record.attempt = entry.key.attempt;
      record.cause = entry.boot_id == process::boot_id() ? "lost" : "interrupted";
      record.started_at = Instant(std::chrono::milliseconds(entry.started_ms));
      recorder.put(record);
    }
  }
  for (StepRecord& record : steps) {
    if (record.state == StepState::succeeded || record.state == StepState::cached ||
        record.state == StepState::skipped)
      continue;
    const auto fate = fates.find(record.step);
    if (fate == fates.end()) {
      // Never started: the line in the journal comes before the process.
      if (record.state == StepState::running || record.state == StepState::retrying)
        record.state = StepState::pending;
      continue;
    }
    const process::JournalEntry& entry = *fate->second.last;
    const Step& step = frozen.pipeline.steps[static_cast<std::size_t>(record.step)];
    record.attempts = std::max(record.attempts, entry.key.attempt);
    if (!record.started_at) record.started_at = Instant(std::chrono::milliseconds(entry.started_ms));
    if (!entry.end) {
      const bool same_boot = entry.boot_id == process::boot_id();
      if (same_boot) end_lost_processes(run.id, step.name, entry.key.attempt);
      record.state = same_boot ? StepState::lost : StepState::interrupted;
      record.reason =
          same_boot ? "its keeper died: nobody knows how it ended" : "the machine went down while it ran";
      continue;
    }
    record.ended_at = Instant(std::chrono::milliseconds(entry.end->ended_ms));
    const AttemptOutcome outcome =
        outcome_of(*entry.end, {&step, step_directory(frozen.pipeline, step), "", false});
    const bool good = outcome.kind == AttemptOutcome::Kind::succeeded;
    CollectJob job{record.step,
                   entry.key.attempt,
                   good,
                   step_directory(frozen.pipeline, step),
                   layout::metrics_file(directory, step.name, entry.key.attempt),
                   layout::output_file(directory, step.name, entry.key.attempt),
                   step.cache != false,
                   record.cache_key.value_or("")};
    if (good && !depot && !(step.outputs.empty() && step.metrics.empty())) depot = std::make_unique<Depot>(workspace);
    Collection collection = collect(job, step, workspace, depot.get());
    record.state = good && collection.problem.empty() ? StepState::succeeded : StepState::failed;
    record.reason = !good ? outcome.words : collection.problem;
    recorder.put(std::move(collection));
  }
  for (const StepRecord& record : steps) recorder.put(record);
  settle_asides(workspace, frozen, directory, steps);
}

}  // namespace

void recover_run(const Workspace& workspace, db::Database& database, const std::string& run_id) {
  const auto run = db::find_run(database.connection(), run_id);
  if (!run || run->state != RunState::running) return;
  util::log_debug("recovering run " + run_id);
  std::vector<StepRecord> steps = db::steps_of(database.connection(), run_id);
  std::string problem;
  std::vector<char> tolerated(steps.size());
  try {
    const FrozenRun frozen = load_frozen(workspace, run_id);
    if (frozen.pipeline.steps.size() == steps.size()) {
      Recorder recorder(database, run_id);
      apply_journal(workspace, *run, frozen, steps, recorder);
      for (std::size_t i = 0; i < steps.size(); ++i)
        tolerated[i] = frozen.pipeline.steps[i].continue_on_failure;
      recorder.flush();
    }
  } catch (const Error& error) {
    // Without its definition the run can still be ended truthfully.
    problem = std::string("; its definition cannot be read: ") + error.what();
  }
  int open = 0, failed = 0, good = 0;
  for (const StepRecord& step : steps) {
    switch (step.state) {
      case StepState::succeeded:
      case StepState::cached:
      case StepState::skipped: ++good; break;
      case StepState::failed: ++(tolerated[static_cast<std::size_t>(step.step)] ? good : failed); break;
      case StepState::pending:
      case StepState::running:
      case StepState::retrying:
      case StepState::lost:
      case StepState::interrupted:
      case StepState::not_run:
      case StepState::cancelled: ++open; break;
    }
  }
  RunState state = RunState::interrupted;
  std::string reason;
  if (open == 0 && problem.empty()) {
    state = failed > 0 ? RunState::failed : RunState::succeeded;
    reason = "its runner died after the last step had started; its keeper saw the end";
  } else {
    const bool reboot = run->boot_id != process::boot_id();
    reason = (reboot ? "the machine went down"
                     : "its runner (process " + std::to_string(run->runner_pid) + ") died") +
             std::string("; ") + std::to_string(good) + " of " + std::to_string(steps.size()) +
             " steps are done" + problem;
  }
  db::Transaction transaction(database, db::Durability::full);
  std::int64_t duration = 0;
  for (const StepRecord& step : steps) {
    if (step.ended_at) duration = std::max(duration, (*step.ended_at - run->created_at).count());
  }
  // Another process may have come first.
  if (const auto now = db::find_run(database.connection(), run_id); !now || now->state != RunState::running)
    return;
  const bool interrupted = state == RunState::interrupted;
  db::finish_run(database.connection(), run_id, state, reason,
                 interrupted ? std::nullopt : std::optional(state == RunState::failed ? 1 : 0), util::now(),
                 duration);
  transaction.commit();
}

std::vector<std::string> recover_all(const Workspace& workspace, db::Database& database) {
  std::vector<std::string> recovered;
  if (!database.writable()) return recovered;
  db::RunFilter filter;
  filter.state = RunState::running;
  filter.limit = 0;
  for (const RunRecord& run : db::list_runs(database.connection(), filter)) {
    if (liveness(workspace, run.id) != Liveness::dead) continue;
    // The lock keeps a resume out while we write; a run whose directory is gone cannot be locked.
    std::optional<LockFile> lock;
    try {
      lock = LockFile::try_lock(layout::in(workspace.run_directory(run.id), layout::runner_lock));
      if (!lock) continue;
    } catch (const Error& error) {
      util::log_debug(error.what());
    }
    recover_run(workspace, database, run.id);
    recovered.push_back(run.id);
  }
  return recovered;
}

}  // namespace mlops::engine
