#include "engine/recovery.hpp"

#include "db/bundles.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "db/triggers.hpp"
#include "engine/aftermath.hpp"
#include "engine/aside.hpp"
#include "engine/collect.hpp"
#include "engine/kept_record.hpp"
#include "engine/machine.hpp"
#include "engine/outcome.hpp"
#include "engine/recorder.hpp"
#include "engine/results.hpp"
#include "engine/run_bell.hpp"
#include "notify/outbox.hpp"
#include "process/attempt.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "process/signals.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>

namespace mlops::engine {

using process::LockFile;

bool database_is_lost(const Workspace& workspace) {
  // A file that was cut off to nothing would pass for one that was just begun. Its first page is there before
  // it has a log.
  const auto is_there = [path = workspace.database_path()] {
    return util::exists(path) && util::file_size(path) > 0;
  };
  if (is_there()) return false;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(workspace.state_directory() + "/" + layout::runs, error)) {
    // A first run that has begun just now made its database before its directory: look again.
    if (util::is_id(entry.path().filename().string())) return !is_there();
  }
  return false;
}

Liveness liveness(const Workspace& workspace, const std::string& run_id) {
  const std::string directory = workspace.run_directory(run_id);
  if (LockFile::is_locked(layout::in(directory, layout::runner_lock))) return Liveness::running;
  return LockFile::is_locked(layout::in(directory, layout::keeper_lock)) ? Liveness::orphaned
                                                                         : Liveness::dead;
}

std::optional<process::Identity> holder_of(const Workspace& workspace, const std::string& run_id,
                                           Liveness liveness) {
  if (liveness == Liveness::dead) return std::nullopt;
  const char* const lock = liveness == Liveness::running ? layout::runner_lock : layout::keeper_lock;
  return LockFile::holder(layout::in(workspace.run_directory(run_id), lock));
}

namespace {

/// Gives the variables that a pipeline file refers to the values which they had when the run started, for as
/// long as it lives. For a process with one thread.
class FrozenEnvironment {
 public:
  explicit FrozenEnvironment(const Json& values) {
    if (!values.is_object()) return;
    for (const auto& [name, value] : values.items()) {
      const char* now = std::getenv(name.c_str());
      before_.emplace_back(name, now ? std::optional<std::string>(now) : std::nullopt);
      set(name, value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt);
    }
  }
  ~FrozenEnvironment() {
    for (const auto& [name, value] : before_) set(name, value);
  }
  FrozenEnvironment(const FrozenEnvironment&) = delete;
  FrozenEnvironment& operator=(const FrozenEnvironment&) = delete;

 private:
  static void set(const std::string& name, const std::optional<std::string>& value) {
    if (value) {
      ::setenv(name.c_str(), value->c_str(), 1);
    } else {
      ::unsetenv(name.c_str());
    }
  }
  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

}  // namespace

std::vector<notify::Addressee> frozen_addressees(const Json& settings) {
  std::vector<notify::Addressee> list;
  const auto found = settings.is_object() ? settings.find("notify") : settings.end();
  if (!settings.is_object() || found == settings.end() || !found->is_array()) return list;
  for (const Json& addressee : *found) {
    try {
      list.push_back(notify::read_addressee(addressee));
    } catch (const Error& error) {
      util::log_warning(std::string("somebody will not be told how a run ended: ") + error.what());
    }
  }
  return list;
}

Json referenced_environment(const std::string& source) {
  constexpr std::string_view mark = "env.";  // of ${env.NAME} and of `when: env.NAME`
  Json values = Json::object();
  for (std::size_t at = source.find(mark); at != source.npos; at = source.find(mark, at + 1)) {
    std::size_t end = at + mark.size();
    while (end < source.size() &&
           (std::isalnum(static_cast<unsigned char>(source[end])) || source[end] == '_'))
      ++end;
    const std::string name = source.substr(at + mark.size(), end - at - mark.size());
    const char* value = std::getenv(name.c_str());
    if (!name.empty()) values[name] = value ? Json(util::to_utf8(value)) : Json(nullptr);
  }
  return values;
}

namespace {

// The run's directory is not synced when a run begins: after a power loss the file may be empty, or end in
// the middle of a command. The database has its digest, and its bytes.
std::string frozen_source(const std::string& path, db::Connection& db, const std::string& digest) {
  if (auto text = util::read_regular_file(path, 0); text && util::sha256(*text) == digest) return *text;
  if (auto text = db::definition_source(db, digest)) return *text;
  throw Error(ExitCode::io, "cannot read '" + path + "': it is not what the run began with");
}

}  // namespace

FrozenRun load_frozen(const Workspace& workspace, db::Connection& db, const std::string& run_id) {
  const auto run = db::find_run(db, run_id);
  if (!run) throw Error(ExitCode::usage, "there is no run " + run_id);
  const std::string directory = workspace.run_directory(run_id);
  const std::string asked = layout::in(directory, layout::settings);
  const auto text = util::read_regular_file(asked, 0);
  const Json settings = Json::parse(text.value_or(""), nullptr, false);
  if (!settings.is_object()) {
    throw Error(ExitCode::io, "cannot read '" + asked + "': it is " + (text ? "damaged" : "gone"),
                "how run " + run_id +
                    " was asked for is not known any more: start a new run; steps whose results are here "
                    "are not run again");
  }
  FrozenRun frozen;
  LoadOptions options;
  options.check_files = false;
  options.overrides = settings.value("overrides", std::vector<std::string>());
  options.slot = parse_slot_values(settings.value("slot", Json()));
  std::map<std::string, std::string> sources;
  if (const auto found = settings.find("sources"); found != settings.end() && found->is_object()) {
    sources = found->get<std::map<std::string, std::string>>();
    options.sources = &sources;
  }
  frozen.environment = settings.value("environment", Json::object());
  const FrozenEnvironment environment(frozen.environment);
  // The workspace may have been moved since.
  const std::string file = run->file.starts_with('/') ? settings.value("file", std::string("pipeline.yaml"))
                                                      : workspace.root() + "/" + run->file;
  frozen.pipeline = parse_pipeline(
      frozen_source(layout::in(directory, layout::definition), db, run->definition), file, options);
  const Json selection = settings.value("selection", Json::object());
  frozen.settings.selection.only = selection.value("only", std::vector<std::string>());
  frozen.settings.selection.from = selection.value("from", std::vector<std::string>());
  frozen.settings.selection.until = selection.value("until", std::vector<std::string>());
  frozen.settings.selection.skip = selection.value("skip", std::vector<std::string>());
  frozen.settings.jobs = settings.value("jobs", 1);
  frozen.settings.keep_going = settings.value("keep_going", false);
  frozen.settings.use_cache = settings.value("use_cache", true);
  frozen.settings.force_all = settings.value("force_all", false);
  frozen.settings.trace_reads = settings.value("trace_reads", false);
  if (const auto fence = settings.value("fence", std::int64_t{0}))
    frozen.settings.slot = SlotClaim{fence, run_id};
  frozen.settings.keep_inputs = parse_keep_inputs(settings.value("keep_inputs", ""));
  frozen.settings.forced = settings.value("forced", std::vector<std::string>());
  return frozen;
}

namespace {

// SIGINT, SIGTERM and SIGHUP as a descriptor, for as long as it lives.
class StopSignals {
 public:
  StopSignals() {
    const sigset_t set = process::heeded({SIGINT, SIGTERM, SIGHUP});
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  ~StopSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  int fd() const { return fd_.get(); }
  int take() {
    signalfd_siginfo info;
    return ::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)
               ? static_cast<int>(info.ssi_signo)
               : 0;
  }

 private:
  sigset_t before_{};
  util::Fd fd_;
};

}  // namespace

int wait_for_keeper(const std::string& run_directory, const std::function<void(const std::string&)>& say) {
  const std::string path = layout::in(run_directory, layout::keeper_lock);
  std::optional<StopSignals> signals;
  int stopped_by = 0;
  while (LockFile::is_locked(path)) {
    const auto holder = LockFile::holder(path);
    if (!signals) {
      signals.emplace();
      say("waiting for steps that still run under the run's keeper" +
          (holder ? " (process " + std::to_string(holder->pid) + ")" : std::string()) +
          "; `mlops logs --follow` shows them");
      if (holder) process::signal_process(*holder, SIGCONT);  // one that is stopped would never end
    }
    const util::Fd keeper = holder ? process::open_process(*holder) : util::Fd();
    pollfd waiting[2] = {{signals->fd(), POLLIN, 0}, {keeper.get(), POLLIN, 0}};
    // Without a process to wait for, it is just starting or just ending.
    ::poll(waiting, keeper ? 2 : 1, keeper ? -1 : 20);
    const int signal = signals->take();
    if (signal == 0) continue;
    if (stopped_by != 0)
      throw Error(ExitCode::interrupted, "stopped waiting; steps of the run may still be ending",
                  "see `mlops status`");
    stopped_by = signal;
    say("stopping: the steps are asked to end (once more to stop waiting)");
    if (holder) process::signal_process(*holder, SIGTERM);
  }
  return stopped_by;
}

namespace {

// Old outputs that waited for a step which did not succeed come back. Where that cannot be done they stay
// where they are, and the step says so: the truth about the run must not wait for it.
void settle_asides(const Workspace& workspace, const FrozenRun& frozen, const std::string& directory,
                   std::vector<StepRecord>& steps) {
  for (StepRecord& record : steps) {
    const std::string aside = aside_directory(directory, record.name);
    if (!util::exists(aside)) continue;
    try {
      if (record.state == StepState::succeeded) {
        drop_aside(aside);
      } else {
        const Step& step = frozen.pipeline.steps[static_cast<std::size_t>(record.step)];
        bring_back(aside, paths_to_set_aside(frozen.pipeline, step, workspace.state_directory()));
      }
    } catch (const Error& error) {
      record.reason += (record.reason.empty() ? "" : "; ") + std::string(error.what()) +
                       ": its old outputs wait in '" + aside + "'";
    }
  }
}

// An attempt as the journal knows it.
AttemptRecord attempt_of(const process::JournalEntry& entry) {
  if (entry.end) return record_of(*entry.end);
  AttemptRecord record;
  record.step = entry.key.step;
  record.attempt = entry.key.attempt;
  record.cause = entry.boot_id == process::boot_id() ? "lost" : "interrupted";
  record.started_at = Instant(std::chrono::milliseconds(entry.started_ms));
  return record;
}

// Brings steps of a run that nobody runs any more up to what its journal says.
class JournalReader {
 public:
  JournalReader(const Workspace& workspace, const RunRecord& run, const FrozenRun* frozen, Recorder& recorder)
      : workspace_(workspace),
        run_(run),
        frozen_(frozen),
        recorder_(recorder),
        directory_(workspace.run_directory(run.id)) {}

  /// The step whose failure decides about the run, and how it failed.
  std::optional<FailureVerdict> failure;
  bool stopped = false;    ///< some step was told to stop
  std::size_t unread = 0;  ///< steps that ended well, but whose outputs nobody has looked at

  void apply(std::vector<StepRecord>& steps) {
    const auto journal = process::parse_journal(
        util::read_regular_file(layout::in(directory_, layout::attempts), 0).value_or(""));
    std::map<int, const process::JournalEntry*> last;  // of each step
    for (const process::JournalEntry& entry : journal) {
      if (entry.key.step >= static_cast<int>(steps.size())) continue;
      last[entry.key.step] = &entry;
      tries_[entry.key.step] += Instant(std::chrono::milliseconds(entry.started_ms)) >= run_.part_started_at;
      recorder_.put(attempt_of(entry));
    }
    for (StepRecord& record : steps) {
      const auto it = last.find(record.step);
      switch (witness(record, it == last.end() ? 0 : it->second->key.attempt, tries_[record.step])) {
        case Witness::record: note_failure(record); break;
        case Witness::nobody: record.state = StepState::pending; break;
        case Witness::journal: apply(record, *it->second); break;
      }
    }
    if (frozen_) settle_asides(workspace_, *frozen_, directory_, steps);
    for (const StepRecord& record : steps) recorder_.put(record);
  }

 private:
  // Of one that failed without an attempt.
  void note_failure(const StepRecord& record) {
    if (record.state != StepState::failed || !frozen_ || failure) return;
    const Step& step = frozen_->pipeline.steps[static_cast<std::size_t>(record.step)];
    if (!step.continue_on_failure)
      failure = verdict_of(step, {AttemptOutcome::Kind::not_started, 0, ""}, record.reason);
  }

  void apply(StepRecord& record, const process::JournalEntry& entry) {
    record.attempts = std::max(record.attempts, entry.key.attempt);
    if (!record.started_at) record.started_at = Instant(std::chrono::milliseconds(entry.started_ms));
    if (!entry.end) {
      const bool same_boot = entry.boot_id == process::boot_id();
      if (same_boot) end_lost_processes(run_.id, record.name, entry.key.attempt);
      record.state = same_boot ? StepState::lost : StepState::interrupted;
      record.reason = same_boot ? "lost: its keeper died, nobody knows how it ended"
                                : "the machine went down while it ran";
      return;
    }
    record.ended_at = Instant(std::chrono::milliseconds(entry.end->ended_ms));
    if (!frozen_) {
      // Whether its outputs are there cannot be told without its definition.
      record.state = entry.end->succeeded() ? StepState::interrupted : StepState::failed;
      record.reason = entry.end->succeeded() ? "ended well, but its definition cannot be read" : "failed";
      return;
    }
    judge(record, entry);
  }

  void judge(StepRecord& record, const process::JournalEntry& entry) {
    const Step& step = frozen_->pipeline.steps[static_cast<std::size_t>(record.step)];
    const std::string directory = step_directory(frozen_->pipeline, step);
    const AttemptOutcome outcome = outcome_of(*entry.end, {&step, directory, "", false});
    const bool good = outcome.kind == AttemptOutcome::Kind::succeeded;
    const CollectJob job{record.step,
                         entry.key.attempt,
                         good,
                         directory,
                         layout::metrics_file(directory_, step.name, entry.key.attempt),
                         layout::output_file(directory_, step.name, entry.key.attempt),
                         false,
                         ""};
    // Without a depot: large outputs are not read by whoever just wants to see a list of runs.
    Collection collection = collect(job, step, workspace_, nullptr);
    stopped = stopped || outcome.kind == AttemptOutcome::Kind::stopped;
    Judgement judgement = judge_step(step, record.state, tries_[record.step], outcome, collection.problem);
    record.state = judgement.state;
    record.reason = std::move(judgement.reason);
    if (record.state == StepState::pending) record.ended_at.reset();
    unread += record.state == StepState::succeeded && makes_results(step, frozen_->pipeline);
    if (record.state == StepState::failed && !step.continue_on_failure && !failure)
      failure = verdict_of(step, good ? AttemptOutcome{AttemptOutcome::Kind::exited, 0, ""} : outcome,
                           record.reason);
    recorder_.put(std::move(collection));
  }

  const Workspace& workspace_;
  const RunRecord& run_;
  const FrozenRun* frozen_;
  Recorder& recorder_;
  std::string directory_;
  std::map<int, int> tries_;  // of each step since the run was last started or resumed
};

// What of the workspace decides how the run ended, in words.
Ending end_of(const RunRecord& run, const std::vector<StepRecord>& steps, const JournalReader& journal,
              const std::vector<char>& tolerated, const std::string& problem) {
  const bool reboot = run.boot_id != process::boot_id();
  return ending_of(steps,
                   {.tolerated = tolerated,
                    .stopped = journal.stopped,
                    .unread = journal.unread,
                    .failure = journal.failure,
                    .problem = problem,
                    .cause = reboot ? "the machine went down"
                                    : "its runner (process " + std::to_string(run.runner_pid) + ") died"});
}

// The runner of a run that has a record of this part of it did not die: the database has lost the end, with
// a part of its log. Whoever was to be told was told then.
bool take_kept(const Workspace& workspace, db::Database& database, const RunRecord& run) {
  const KeptRecord kept = read_kept(workspace, run.id);
  if (!kept.bundle || kept.bundle->run.resumes < run.resumes) return false;
  db::Transaction transaction(database, db::Durability::full);
  if (db::state_of_run(database.connection(), run.id) != RunState::running) return true;
  db::mend_bundle(database.connection(), *kept.bundle, most_points_kept);
  db::put_run_end(database.connection(), run.id);
  transaction.commit();
  ring_end(workspace, database.connection(), run.id);
  return true;
}

}  // namespace

void recover_run(const Workspace& workspace, db::Database& database, const std::string& run_id, bool tell) {
  const auto run = db::find_run(database.connection(), run_id);
  if (!run || run->state != RunState::running) return;
  if (take_kept(workspace, database, *run)) return;
  util::log_debug("recovering run " + run_id);
  std::vector<StepRecord> steps = db::steps_of(database.connection(), run_id);
  std::vector<char> tolerated(steps.size());
  std::optional<FrozenRun> frozen;
  std::string problem;
  try {
    frozen = load_frozen(workspace, database.connection(), run_id);
    if (frozen->pipeline.steps.size() != steps.size())
      throw Error(ExitCode::io, "it does not have the steps that were recorded");
    for (std::size_t i = 0; i < steps.size(); ++i)
      tolerated[i] = frozen->pipeline.steps[i].continue_on_failure;
  } catch (const Error& error) {
    // Without its definition the run can still be ended truthfully.
    frozen.reset();
    problem = std::string("; its definition cannot be read: ") + error.what();
  }
  Recorder recorder(database, run_id);
  JournalReader journal(workspace, *run, frozen ? &*frozen : nullptr, recorder);
  journal.apply(steps);
  const Ending ending = end_of(*run, steps, journal, tolerated, problem);
  Instant end = run->part_started_at;
  for (const StepRecord& step : steps) {
    end = std::max(end, step.ended_at.value_or(end));
    // Of a lost step nobody knows more than that it had begun.
    end = std::max(end, step.started_at.value_or(end));
  }

  // Also where the definition cannot be read.
  const std::string settings = layout::in(workspace.run_directory(run_id), layout::settings);
  const auto addressees =
      frozen_addressees(Json::parse(util::read_regular_file(settings, 0).value_or(""), nullptr, false));

  db::Transaction transaction(database, db::Durability::full);
  // Another process may have come first.
  const auto now = db::find_run(database.connection(), run_id);
  if (!now || now->state != RunState::running) return;
  // With its end: what is on record as succeeded without it would be taken for something whose outputs are
  // known.
  recorder.write();
  db::finish_run(database.connection(), run_id, ending.state, ending.reason, ending.exit_code, end,
                 (end - run->part_started_at).count());
  if (tell) notify::tell_end(database.connection(), addressees, run_id);
  transaction.commit();
  keep_record(workspace, database.connection(), run_id);
  ring_end(workspace, database.connection(), run_id);
}

std::vector<std::string> recover_all(const Workspace& workspace, db::Database& database) {
  std::vector<std::string> recovered;
  if (!database.writable()) return recovered;
  db::RunFilter filter;
  filter.state = RunState::running;
  filter.limit = 0;
  for (const RunRecord& run : db::list_runs(database.connection(), filter)) {
    if (!util::is_id(run.id) || liveness(workspace, run.id) != Liveness::dead) continue;
    // The lock keeps a resume out while we write; where the directory is gone there is nothing to lock.
    const std::string directory = workspace.run_directory(run.id);
    try {
      std::optional<LockFile> lock;
      if (util::exists(directory)) {
        lock = LockFile::try_lock(layout::in(directory, layout::runner_lock));
        if (!lock) continue;
      }
      recover_run(workspace, database, run.id);
      recovered.push_back(run.id);
    } catch (const Error& error) {
      // A full disk, a directory of another user: what was asked for may be possible all the same.
      util::log_warning("run " + run.id +
                        " lost its runner and cannot be brought up to date now: " + error.what());
    }
  }
  return recovered;
}

}  // namespace mlops::engine
