// What the runner hears: from the keeper, from signals, from the collector, and the output of its steps.
#include "engine/outcome.hpp"
#include "engine/runner.hpp"
#include "process/signals.hpp"
#include "process/step_log.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <map>

namespace mlops::engine {

// --- Events -----------------------------------------------------------------------------------------

void Runner::take_keeper_events() {
  for (const executors::LocalEvent& event : executor_->receive()) {
    if (const auto* started = std::get_if<executors::Started>(&event)) {
      attempt_started(*started);
    } else if (const auto* ended = std::get_if<executors::Ended>(&event)) {
      attempt_ended(ended->record);
    } else if (std::holds_alternative<executors::OutputGrew>(event)) {
      if (wants_output_) read_outputs();
    } else {
      keeper_died();
      return;
    }
    perform_actions();
  }
}

void Runner::attempt_started(const executors::Started& event) {
  const auto it = running_.find(event.key);
  if (it == running_.end()) return;
  it->second.record.pid = event.pid;
  it->second.record.started_at = Instant(std::chrono::milliseconds(event.started_ms));
  recorder_.put(it->second.record);
}

void Runner::attempt_ended(const process::ExitRecord& exit) {
  const auto it = running_.find(exit.key);
  if (it == running_.end()) return;
  Attempt& attempt = it->second;
  if (wants_output_) {
    read_output(attempt, true);
    if (exit.log_dropped > 0) {
      note(step(exit.key.step).name + ": " + std::to_string(exit.log_dropped) +
           " bytes of its output were not kept");
    }
  }
  const Step& s = step(exit.key.step);
  OutcomeContext context{&s, step_directory(parts_.pipeline, s), attempt.path, false};
  if (exit.signal == SIGKILL || signal_in_script(s, exit.code) == SIGKILL)
    context.memory_kill = memory_kills() > attempt.memory_kills;
  const AttemptOutcome outcome = outcome_of(exit, context);
  AttemptRecord record = record_of(exit);
  if (exit.cause == process::Cause::not_started) record.note = outcome.words;
  recorder_.put(record);
  if (!record.note.empty() && exit.cause != process::Cause::not_started) note(s.name + ": " + record.note);
  running_.erase(it);
  if (outcome.kind != AttemptOutcome::Kind::succeeded) {
    // How far a failed training came is worth keeping.
    collector_.submit(collect_job(exit.key.step, exit.key.attempt, false));
  }
  machine_.attempt_ended(exit.key.step, outcome, util::monotonic_ms());
}

// The steps may still run; nobody will ever know how they end, so they are ended, and their attempts are
// lost.
void Runner::keeper_died() {
  note(running_.empty() ? "the keeper process died; another one takes its place"
                        : "the keeper process died; its steps are ended and count as lost");
  ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, executor_->fd(), nullptr);
  executor_.reset();
  const std::string journal =
      util::read_file_if_exists(layout::in(parts_.run_directory, layout::attempts)).value_or("");
  std::map<process::AttemptKey, process::ExitRecord> ends;
  for (const process::JournalEntry& entry : process::parse_journal(journal)) {
    if (entry.end) ends[entry.key] = *entry.end;
  }
  for (const auto& [key, attempt] : running_) end_lost_processes(parts_.id, step(key.step).name, key.attempt);
  if (++keeper_deaths_ > 3)
    throw Error(
        ExitCode::io, "the keeper process of run " + parts_.id + " died again and again",
        "see keeper.error in " + parts_.run_directory + ", then `mlops run --resume " + parts_.id + "`");
  executor_.emplace(process::spawn_keeper(), process::KeeperPlace{parts_.run_directory, parts_.id});
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = 0;
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, executor_->fd(), &event) != 0) throw_errno("epoll_ctl", errno);
  std::vector<process::ExitRecord> records;
  for (const auto& [key, attempt] : running_) {
    process::ExitRecord record;
    record.key = key;
    record.started_ms = attempt.record.started_at.time_since_epoch().count();
    record.ended_ms = util::now().time_since_epoch().count();
    record.pid = attempt.record.pid.value_or(0);
    if (const auto it = ends.find(key); it != ends.end()) record = it->second;
    records.push_back(record);
  }
  for (const process::ExitRecord& record : records) attempt_ended(record);
}

void Runner::take_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGCHLD) {
      if (executor_->wake_keeper()) note("somebody had stopped the keeper process; it goes on");
      continue;
    }
    if (signal == SIGTSTP) {
      for (RunObserver* observer : observers_) observer->paused(true);
      executor_->pause();
      process::suspend_self();
      executor_->resume();
      for (RunObserver* observer : observers_) observer->paused(false);
      continue;
    }
    if (stop_signal_ != 0 || signal == SIGQUIT) {
      if (signal == SIGHUP) continue;
      if (stop_signal_ == 0) stop_signal_ = signal;
      note("ending all steps at once");
      collector_.abort();
      machine_.kill("cancelled by " + signal_name(stop_signal_));
    } else {
      stop_signal_ = signal;
      collector_.stop_waiting();
      note(std::string("stopping: ") + signal_name(signal) + " received; running steps are asked to end" +
           (signal == SIGINT ? " (once more to kill them)" : ""));
      machine_.cancel("cancelled by " + signal_name(signal));
    }
  }
}

void Runner::take_collections() {
  for (Collector::Result& result : collector_.take()) {
    if (auto* check = std::get_if<CheckResult>(&result)) {
      finish_check(std::move(*check));
    } else {
      finish_collection(std::move(std::get<Collection>(result)));
    }
    perform_actions();
  }
}

// On record as early as it is known: a run that is killed was of that commit, too.
void Runner::take_git_state() {
  if (!git_.joinable()) return;
  eventfd_t count = 0;
  ::eventfd_read(git_known_.get(), &count);
  git_.join();
  if (git_state_) recorder_.put_git(git_state_->commit, git_state_->dirty);
}

// --- Output -----------------------------------------------------------------------------------------

void Runner::read_output(Attempt& attempt, bool all) {
  if (!attempt.log) {
    const std::string path = parts_.run_directory + "/" + layout::logs + "/" +
                             process::log_name(step(attempt.key.step).name, attempt.key.attempt);
    attempt.log.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!attempt.log) return;
  }
  char buffer[65536];
  for (int round = 0; all || round < 16; ++round) {
    const ssize_t n = ::pread(attempt.log.get(), buffer, sizeof buffer, static_cast<off_t>(attempt.log_read));
    if (n <= 0) return;
    attempt.log_read += static_cast<std::uint64_t>(n);
    for (RunObserver* observer : observers_) {
      if (observer->wants_output())
        observer->step_output(attempt.key.step, {buffer, static_cast<std::size_t>(n)});
    }
  }
  more_output_ = true;
}

void Runner::read_outputs() {
  more_output_ = false;
  for (auto& [key, attempt] : running_) read_output(attempt, false);
  // Only then is the keeper to tell of more, so that a flood waits for the reader and not in its queue.
  if (!more_output_) executor_->output_read();
}

void Runner::note(const std::string& text) {
  for (RunObserver* observer : observers_) observer->note(text);
}

}  // namespace mlops::engine
