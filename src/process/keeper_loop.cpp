#include "process/keeper_loop.hpp"

#include <mlops/error.hpp>

#include "process/file_trace.hpp"
#include "process/identity.hpp"
#include "process/journal_file.hpp"
#include "process/kept_processes.hpp"
#include "process/launch.hpp"
#include "process/run_files.hpp"
#include "process/runner_link.hpp"
#include "process/running_attempt.hpp"
#include "process/wire.hpp"
#include "util/failpoint.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

namespace mlops::process {

namespace {

constexpr std::int64_t left_over_grace_ms = 2'000;
// With more attempts than that at a time, descriptors are dearer than opening a log for each piece of output.
constexpr std::size_t most_open_logs = 64;

std::string group_name(const std::string& run_id, const AttemptKey& key) {
  return group_prefix(run_id) + std::to_string(key.step) + "." + std::to_string(key.attempt);
}

std::int64_t wall_ms() { return util::now().time_since_epoch().count(); }

class Loop {
 public:
  Loop(util::Fd socket, KeeperPlace place)
      : place_(std::move(place)),
        journal_(in_run(run_files::attempts)),
        index_(util::open_file(in_run(run_files::output_index), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK)),
        null_(util::open_file("/dev/null", O_RDWR)),
        poll_(::epoll_create1(EPOLL_CLOEXEC)),
        runner_(std::move(socket), poll_.get(), runner_id) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGCHLD, SIGTERM}) ::sigaddset(&set, signal);
    signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    const int error = signals_ ? watch(signals_.get(), signal_id) : errno;
    if (error != 0) throw_errno("cannot set up the keeper", error);
    raise_file_limit();
    runner_.send(Writer(MessageType::ready));
  }

  void serve() {
    while (runner_ || !attempts_.empty()) {
      epoll_event events[64];
      const int n = ::epoll_wait(poll_.get(), events, 64, wait_ms());
      if (n < 0 && errno != EINTR) throw_errno("epoll_wait", errno);
      for (int i = 0; i < n; ++i) dispatch(events[i].data.u64, events[i].events);
      if (!runner_ && paused_at_ != 0) resume();  // nobody is left who could ask for it
      keep_deadlines();
      tell_of_output();
    }
  }

 private:
  // An event names an attempt by number and one of its two streams, or its trace.
  static constexpr std::uint64_t runner_id = 0, signal_id = 1, first_id = 2, ids = 3, trace_place = 2;

  std::string in_run(const char* name) const { return run_files::in(place_.run_directory, name); }

  // Every attempt that runs takes two descriptors, and its log up to two more. The limit is usually 1,024 for
  // the sake of programs that use select; steps start under the one that we were given.
  void raise_file_limit() {
    ::getrlimit(RLIMIT_NOFILE, &steps_open_files_);
    rlimit raised = steps_open_files_;
    raised.rlim_cur = raised.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &raised);
  }

  // 0 or an errno value.
  int watch(int fd, std::uint64_t id) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = id;
    return ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
  }

  int wait_ms() const {
    if (paused_at_ != 0) return -1;
    std::int64_t at = never;
    for (const auto& [id, attempt] : attempts_) at = std::min(at, attempt.deadline());
    if (at == never) return -1;
    return static_cast<int>(std::clamp<std::int64_t>(at - util::monotonic_ms(), 0, 1'000'000));
  }

  void dispatch(std::uint64_t id, std::uint32_t what) {
    if (id == runner_id) {
      runner_.serve(what, [this](std::string_view message) { return handle(message); });
    } else if (id == signal_id) {
      take_signals();
    } else if ((id - first_id) % ids == trace_place) {
      serve_trace((id - first_id) / ids);
    } else if (const auto it = attempts_.find((id - first_id) / ids); it != attempts_.end()) {
      read_output(it->second, static_cast<int>((id - first_id) % ids), false);
      finish_if_done(it);
    }
  }

  // --- Talking to the runner ----------------------------------------------------------------------

  // False if it is no message of a runner: what talks nonsense is as good as dead.
  bool handle(std::string_view message) {
    Reader reader(message);
    switch (reader.get<MessageType>()) {
      case MessageType::start: {
        StartRequest request = get_request(reader);
        if (reader.ok()) start(std::move(request));
        return reader.ok();
      }
      case MessageType::stop: {
        const auto key = reader.get<AttemptKey>();
        const bool at_once = reader.flag();
        for (auto& [id, attempt] : attempts_) {
          if (reader.ok() && attempt.request.key == key) stop(attempt, Cause::stopped, at_once);
        }
        return reader.ok();
      }
      case MessageType::pause: pause(); return true;
      case MessageType::resume: resume(); return true;
      case MessageType::output_read: output_told_ = false; return true;
      case MessageType::started:
      case MessageType::output:
      case MessageType::ended:
      case MessageType::ready: break;
    }
    return false;
  }

  void tell_of_output() {
    if (!output_grew_ || output_told_) return;
    output_grew_ = false;
    output_told_ = true;
    runner_.send(Writer(MessageType::output));
  }

  // --- Starting -----------------------------------------------------------------------------------

  void start(StartRequest request) {
    ExitRecord record;
    record.key = request.key;
    record.started_ms = wall_ms();
    // The line comes first: what is not in the journal never ran.
    if (const int error = journal_.append(format_start(request.key, record.started_ms, boot_id())))
      return refuse(record, error);
    util::failpoint("attempt_noted");
    // All that may be wanting is taken before the process exists: from then on nothing can fail.
    const std::uint64_t id = next_id_++;
    OutputPipes pipes;
    int error = make_pipes(pipes);
    for (const std::uint64_t i : {0u, 1u}) {
      if (error == 0) error = watch(pipes.ours[i].get(), first_id + id * ids + i);
    }
    if (error != 0) return refuse(record, error);
    ControlGroup group;
    if (!request.leave_running) group = ControlGroup(group_name(place_.run_id, request.key));
    const pid_t pid = start_process(id, request, pipes, group);
    if (pid < 0) return refuse(record, -pid);
    util::failpoint("attempt_spawned");

    record.pid = pid;
    keep(id, std::move(request), pipes, std::move(group), record);
    Writer message(MessageType::started);
    message.put(record.key);
    message.put(static_cast<std::int64_t>(pid));
    message.put(record.started_ms);
    runner_.send(std::move(message));
  }

  // What may go on when we have ended is not traced: without an answer from us it could open no file.
  pid_t start_process(std::uint64_t id, const StartRequest& request, OutputPipes& pipes,
                      const ControlGroup& group) {
    if (request.trace_file.empty() || request.leave_running)
      return launch(request, pipes, null_.get(), steps_open_files_, group);
    FileTrace trace;
    const pid_t pid = launch(request, pipes, null_.get(), steps_open_files_, group, &trace);
    if (pid < 0) return pid;
    const int error = trace.fd() < 0 ? 0 : watch(trace.fd(), first_id + id * ids + trace_place);
    if (error != 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
      return -error;
    }
    traces_.emplace(id, std::move(trace));
    return pid;
  }

  void serve_trace(std::uint64_t id) {
    const auto it = traces_.find(id);
    // Of an attempt that runs the trace is still to be written.
    if (it != traces_.end() && !it->second.serve() && !attempts_.contains(id)) traces_.erase(it);
  }

  // A process that got away from its attempt still waits for our answers, so the trace stays until it is
  // gone.
  void write_trace(std::uint64_t id, const StartRequest& request) {
    const auto it = traces_.find(id);
    if (it == traces_.end()) return;
    try {
      HeldOutput none;
      util::write_file(request.trace_file,
                       SecretForms(request.secrets).mask(none, format_trace(it->second.report()), true));
    } catch (const std::exception&) {
      // A trace that is not there is told as such.
    }
    if (it->second.fd() < 0) traces_.erase(it);
  }

  void keep(std::uint64_t id, StartRequest request, OutputPipes& pipes, ControlGroup group,
            const ExitRecord& record) {
    const std::string log = in_run(run_files::logs) + "/" + log_name(request.name, request.key.attempt);
    const std::int64_t now = util::monotonic_ms();
    RunningAttempt attempt{.request = {},
                           .pid = record.pid,
                           .group = std::move(group),
                           .pipes = {std::move(pipes.ours[0]), std::move(pipes.ours[1])},
                           .log = StepLog(log, record.key, index_.get(), request.log_head, request.log_tail),
                           .secrets = SecretForms(request.secrets),
                           .record = record,
                           .started = now,
                           .last_output = now,
                           .cookie = {"MLOPS_RUN_ID=" + place_.run_id, "MLOPS_STEP=" + request.name,
                                      "MLOPS_ATTEMPT=" + std::to_string(record.key.attempt)}};
    attempt.request = std::move(request);
    processes_.add_main(record.pid, id);
    if (attempt.request.leave_running) processes_.leave_running();
    attempts_.emplace(id, std::move(attempt));
  }

  void refuse(ExitRecord record, int error) {
    record.cause = Cause::not_started;
    record.error = error;
    record.ended_ms = wall_ms();
    report(record);
  }

  // --- While it runs ------------------------------------------------------------------------------

  // Reads what is there; at most 1 MiB in one go, so that a flood does not starve the others, or 64 MiB when
  // the attempt is over: a process that may go on running could fill the pipe for ever.
  void read_output(RunningAttempt& attempt, int which, bool to_the_end) {
    util::Fd& pipe = attempt.pipes[which];
    for (int round = 0; pipe && round < (to_the_end ? 1024 : 16); ++round) {
      const ssize_t n = ::read(pipe.get(), buffer_, sizeof buffer_);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        pipe.reset();
        return;
      }
      attempt.last_output = util::monotonic_ms();
      log_output(attempt, which, {buffer_, static_cast<std::size_t>(n)}, false);
      if (attempts_.size() > most_open_logs) attempt.log.close_files();
      output_grew_ = true;
      if (static_cast<std::size_t>(n) < sizeof buffer_ && !to_the_end) return;
    }
  }

  // Each stream's last bytes wait for more where they may be the beginning of a secret.
  void log_output(RunningAttempt& attempt, int which, std::string_view bytes, bool at_end) {
    const Stream stream = which == 0 ? Stream::out : Stream::err;
    if (attempt.secrets.empty()) return attempt.log.append(stream, bytes, wall_ms());
    attempt.log.append(stream, attempt.secrets.mask(attempt.held[which], bytes, at_end), wall_ms());
  }

  void stop(RunningAttempt& attempt, Cause cause, bool at_once) {
    if (attempt.phase == RunningAttempt::Phase::running && attempt.record.cause == Cause::lost)
      attempt.record.cause = cause;
    const std::int64_t now = util::monotonic_ms();
    if (at_once) {
      attempt.kill_at = now;
    } else if (attempt.kill_at == never && !attempt.killed) {
      attempt.kill_at = now + attempt.request.grace_ms;
      processes_.signal_all(attempt, SIGTERM);
      processes_.signal_all(attempt, SIGCONT);  // a stopped process would never see the request
    }
  }

  void keep_deadlines() {
    if (paused_at_ != 0) return;
    const std::int64_t now = util::monotonic_ms();
    for (auto it = attempts_.begin(); it != attempts_.end();) {
      const auto next = std::next(it);
      RunningAttempt& attempt = it->second;
      if (attempt.deadline() <= now) {
        if (attempt.kill_at <= now) {
          kill_all(attempt, now);
        } else if (attempt.phase == RunningAttempt::Phase::running) {
          const bool total =
              attempt.request.timeout_ms > 0 && attempt.started + attempt.request.timeout_ms <= now;
          stop(attempt, total ? Cause::timeout : Cause::no_output, false);
        } else if (attempt.phase == RunningAttempt::Phase::draining) {
          attempt.record.output_held = true;  // what it writes from now on is not kept
          end_what_is_left(attempt);
        }
        finish_if_done(it);
      }
      it = next;
    }
  }

  void kill_all(RunningAttempt& attempt, std::int64_t now) {
    attempt.kill_at = never;
    attempt.killed = true;
    if (attempt.give_up_at <= now) {
      attempt.record.not_ended = processes_.count_left(attempt);
      attempt.alone = true;
      return;
    }
    processes_.signal_all(attempt, SIGKILL);
    if (attempt.phase != RunningAttempt::Phase::ending) return;
    // Whoever forked meanwhile is caught by looking again.
    attempt.kill_at = now + kill_again_ms;
    if (attempt.give_up_at == never) attempt.give_up_at = now + kill_limit_ms;
  }

  void pause() {
    if (paused_at_ != 0) return;
    paused_at_ = util::monotonic_ms();
    for (auto& [id, attempt] : attempts_) processes_.signal_all(attempt, SIGSTOP);
  }

  void resume() {
    if (paused_at_ == 0) return;
    const std::int64_t away = util::monotonic_ms() - paused_at_;
    paused_at_ = 0;
    for (auto& [id, attempt] : attempts_) {
      attempt.shift(away);
      processes_.signal_all(attempt, SIGCONT);
    }
  }

  void take_signals() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      if (info.ssi_signo != SIGTERM) continue;
      for (auto& [id, attempt] : attempts_) stop(attempt, Cause::stopped, false);
    }
    take_ends();
    for (auto it = attempts_.begin(); it != attempts_.end();) {
      const auto next = std::next(it);
      if (it->second.phase == RunningAttempt::Phase::ending) finish_if_done(it);
      it = next;
    }
  }

  // --- The end of an attempt ----------------------------------------------------------------------

  void take_ends() {
    while (const pid_t pid = some_ended_child()) {
      const auto id = processes_.attempt_of_main(pid);
      if (!id) {
        ::waitpid(pid, nullptr, WNOHANG);
        continue;
      }
      const auto it = attempts_.find(*id);
      if (it->second.phase != RunningAttempt::Phase::running) return look_at_all();
      main_process_ended(it->second);
      finish_if_done(it);
    }
  }

  // A main process that is left unreaped hides what has ended behind it.
  void look_at_all() {
    processes_.reap_orphans();
    for (auto it = attempts_.begin(); it != attempts_.end();) {
      const auto next = std::next(it);
      if (it->second.phase == RunningAttempt::Phase::running && has_ended(it->second.pid)) {
        main_process_ended(it->second);
        finish_if_done(it);
      }
      it = next;
    }
  }

  void main_process_ended(RunningAttempt& attempt) {
    ExitRecord& r = attempt.record;
    if (r.cause == Cause::lost) r.cause = Cause::exited;
    r.ended_ms = wall_ms();
    attempt.ended = util::monotonic_ms();
    attempt.kill_at = never;
    attempt.phase = RunningAttempt::Phase::draining;
    read_output(attempt, 0, false);
    read_output(attempt, 1, false);
    // An attempt that was told to stop ends with all its processes at once.
    if (r.cause != Cause::exited || attempt.draining_done()) end_what_is_left(attempt);
  }

  // The main process is waited for last: as long as it is not, its number, which is that of its group and
  // session, cannot pass to a process that has nothing to do with the step.
  void reap_main(RunningAttempt& attempt) {
    int status = 0;
    rusage usage{};
    processes_.remove_main(attempt.pid);
    if (::wait4(attempt.pid, &status, WNOHANG, &usage) != attempt.pid) return;
    ExitRecord& r = attempt.record;
    if (WIFEXITED(status)) r.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) {
      r.signal = WTERMSIG(status);
      r.core_dumped = WCOREDUMP(status);
    }
    r.user_us = usage.ru_utime.tv_sec * 1'000'000LL + usage.ru_utime.tv_usec;
    r.system_us = usage.ru_stime.tv_sec * 1'000'000LL + usage.ru_stime.tv_usec;
    r.max_rss_kb = usage.ru_maxrss;
    r.read_bytes = usage.ru_inblock * 512LL;
    r.written_bytes = usage.ru_oublock * 512LL;
  }

  void end_what_is_left(RunningAttempt& attempt) {
    attempt.phase = RunningAttempt::Phase::ending;
    const int left = attempt.request.leave_running ? 0 : processes_.count_left(attempt);
    attempt.alone = left == 0;
    if (attempt.alone) return;
    // After a time-out or a stop, that the rest of the tree ends too is no news.
    if (attempt.record.cause == Cause::exited) attempt.record.left_over = left;
    const bool at_once = attempt.killed;
    processes_.signal_all(attempt, at_once ? SIGKILL : SIGTERM);
    processes_.signal_all(attempt, SIGCONT);
    attempt.kill_at = util::monotonic_ms() +
                      (at_once ? kill_again_ms : std::min(left_over_grace_ms, attempt.request.grace_ms));
  }

  void finish_if_done(std::map<std::uint64_t, RunningAttempt>::iterator it) {
    RunningAttempt& attempt = it->second;
    if (attempt.phase == RunningAttempt::Phase::draining && attempt.draining_done())
      end_what_is_left(attempt);
    if (attempt.phase != RunningAttempt::Phase::ending) return;
    if (!attempt.alone && processes_.count_left(attempt) > 0) return;
    reap_main(attempt);
    for (const int which : {0, 1}) {
      read_output(attempt, which, true);
      log_output(attempt, which, {}, true);
    }
    attempt.record.log_bytes = attempt.log.written();
    attempt.record.log_dropped = attempt.log.dropped();
    attempt.record.log_error = attempt.log.error();
    if (!attempt.secrets.empty()) mask_files(attempt.request.small_files, attempt.secrets);
    const ExitRecord record = attempt.record;
    write_trace(it->first, attempt.request);
    attempts_.erase(it);
    report(record);
  }

  void report(const ExitRecord& record) {
    util::failpoint("attempt_ended");
    (void)journal_.append(format_end(record));  // the runner learns it all the same
    util::failpoint("attempt_end_noted");
    Writer message(MessageType::ended);
    message.put(record);
    runner_.send(std::move(message));
  }

  KeeperPlace place_;
  JournalFile journal_;
  util::Fd index_, null_, poll_, signals_;
  RunnerLink runner_;
  rlimit steps_open_files_{};
  bool output_grew_ = false;  // since the runner was told
  bool output_told_ = false;  // and it has not answered yet
  std::int64_t paused_at_ = 0;
  std::uint64_t next_id_ = 0;
  std::map<std::uint64_t, RunningAttempt> attempts_;
  std::map<std::uint64_t, FileTrace> traces_;
  KeptProcesses processes_;
  char buffer_[65536];
};

}  // namespace

void serve_run(util::Fd socket, const KeeperPlace& place) { Loop(std::move(socket), place).serve(); }

}  // namespace mlops::process
