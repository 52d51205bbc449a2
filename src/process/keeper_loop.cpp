#include "process/keeper_loop.hpp"

#include <mlops/error.hpp>

#include "process/identity.hpp"
#include "process/kept_processes.hpp"
#include "process/running_attempt.hpp"
#include "process/spawn.hpp"
#include "process/wire.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <unordered_set>

extern char** environ;

namespace mlops::process {

namespace {

constexpr std::int64_t left_over_grace_ms = 2'000;

std::int64_t wall_ms() { return util::now().time_since_epoch().count(); }

class Loop {
 public:
  Loop(util::Fd socket, KeeperPlace place) : socket_(std::move(socket)), place_(std::move(place)) {
    journal_ = util::open_file(place_.run_directory + "/attempts", O_WRONLY | O_CREAT | O_APPEND);
    index_ = util::open_file(place_.run_directory + "/output.idx", O_WRONLY | O_CREAT | O_APPEND);
    null_ = util::open_file("/dev/null", O_RDWR);
    poll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGCHLD, SIGTERM}) ::sigaddset(&set, signal);
    signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!poll_ || !signals_) throw_errno("cannot set up the keeper", errno);
    watch(socket_.get(), EPOLLIN, socket_id);
    watch(signals_.get(), EPOLLIN, signal_id);
  }

  void serve() {
    while (socket_ || !attempts_.empty()) {
      epoll_event events[64];
      const int n = ::epoll_wait(poll_.get(), events, 64, wait_ms());
      if (n < 0 && errno != EINTR) throw_errno("epoll_wait", errno);
      for (int i = 0; i < n; ++i) dispatch(events[i].data.u64, events[i].events);
      keep_deadlines();
      tell_of_output();
    }
  }

 private:
  // An event names an attempt by number and one of its three descriptors.
  static constexpr std::uint64_t socket_id = 0, signal_id = 1, first_id = 2;
  enum Part : std::uint64_t { out_part = 0, err_part = 1, process_part = 2 };

  void watch(int fd, std::uint32_t what, std::uint64_t id) {
    epoll_event event{};
    event.events = what;
    event.data.u64 = id;
    if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("epoll_ctl", errno);
  }

  int wait_ms() const {
    if (paused_at_ != 0) return -1;
    std::int64_t at = never;
    for (const auto& [id, attempt] : attempts_) at = std::min(at, attempt.deadline());
    if (at == never) return -1;
    return static_cast<int>(std::clamp<std::int64_t>(at - util::monotonic_ms(), 0, 1'000'000));
  }

  void dispatch(std::uint64_t id, std::uint32_t what) {
    if (id == socket_id) {
      if (what & EPOLLOUT) flush();
      if (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive();
    } else if (id == signal_id) {
      take_signals();
    } else if (const auto it = attempts_.find((id - first_id) / 4); it != attempts_.end()) {
      const std::uint64_t part = (id - first_id) % 4;
      if (part == process_part) {
        main_process_ended(it->second);
      } else {
        read_output(it->second, static_cast<int>(part), false);
      }
      finish_if_done(it);
    }
  }

  // --- Talking to the runner ----------------------------------------------------------------------

  void send(Writer message) {
    if (!socket_) return;
    outbox_ += message.finish();
    flush();
  }

  void flush() {
    while (!outbox_.empty()) {
      const ssize_t n = ::send(socket_.get(), outbox_.data(), outbox_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return runner_is_gone();
        if (!waiting_to_send_) change_socket_events(EPOLLIN | EPOLLOUT);
        waiting_to_send_ = true;
        return;
      }
      outbox_.erase(0, static_cast<std::size_t>(n));
    }
    if (waiting_to_send_) change_socket_events(EPOLLIN);
    waiting_to_send_ = false;
  }

  void change_socket_events(std::uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.u64 = socket_id;
    ::epoll_ctl(poll_.get(), EPOLL_CTL_MOD, socket_.get(), &event);
  }

  void runner_is_gone() {
    socket_.reset();  // closing takes it out of the epoll set
    outbox_.clear();
    if (paused_at_ != 0) resume();  // nobody is left who could
  }

  void receive() {
    char buffer[65536];
    while (socket_) {
      const ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n <= 0) return runner_is_gone();
      inbox_.append({buffer, static_cast<std::size_t>(n)});
      while (const auto message = inbox_.next()) handle(*message);
      if (static_cast<std::size_t>(n) < sizeof buffer) break;
    }
  }

  void handle(std::string_view message) {
    Reader reader(message);
    switch (reader.get<MessageType>()) {
      case MessageType::start: start(get_request(reader)); break;
      case MessageType::stop: {
        const auto key = reader.get<AttemptKey>();
        const bool at_once = reader.get<bool>();
        for (auto& [id, attempt] : attempts_) {
          if (attempt.request.key == key) stop(attempt, Cause::stopped, at_once);
        }
        break;
      }
      case MessageType::pause: pause(); break;
      case MessageType::resume: resume(); break;
      case MessageType::output_read: output_told_ = false; break;
      case MessageType::started:
      case MessageType::output:
      case MessageType::ended: break;
    }
  }

  void tell_of_output() {
    if (!output_grew_ || output_told_) return;
    output_grew_ = false;
    output_told_ = true;
    send(Writer(MessageType::output));
  }

  // --- Starting -----------------------------------------------------------------------------------

  void start(StartRequest request) {
    ExitRecord record;
    record.key = request.key;
    record.started_ms = wall_ms();
    // The line comes first: what is not in the journal never ran.
    const int journal_error = write_line(format_start(request.key, record.started_ms, boot_id()));
    if (journal_error != 0) return refuse(record, journal_error);

    const std::vector<const char*> env = environment(request);
    std::string program = request.argv.empty() ? "" : request.argv[0];
    if (program.find('/') == program.npos) {
      program =
          find_program(program, value_of(env, "PATH", "/usr/local/bin:/usr/bin:/bin"), request.directory);
      if (program.empty()) return refuse(record, ENOENT);
    }
    util::Fd ours[2], theirs[2];
    for (int i = 0; i < 2; ++i) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) return refuse(record, errno);
      ours[i].reset(ends[0]);
      theirs[i].reset(ends[1]);
      ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    }
    const pid_t pid =
        spawn(program, request.argv, env, request.directory, theirs[0].get(), theirs[1].get(), null_.get());
    if (pid < 0) return refuse(record, -pid);

    record.pid = pid;
    const std::string log = place_.run_directory + "/logs/" + log_name(request.name, request.key.attempt);
    const std::uint64_t id = next_id_++;
    RunningAttempt attempt{.request = std::move(request),
                           .pid = pid,
                           .process = util::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))),
                           .pipes = {std::move(ours[0]), std::move(ours[1])},
                           .log = StepLog(log, record.key, index_.get(), 0, 0),
                           .record = record,
                           .started = util::monotonic_ms(),
                           .cookie = {}};
    attempt.log = StepLog(log, record.key, index_.get(), attempt.request.log_head, attempt.request.log_tail);
    attempt.last_output = attempt.started;
    attempt.cookie = {"MLOPS_RUN_ID=" + place_.run_id, "MLOPS_STEP=" + attempt.request.name,
                      "MLOPS_ATTEMPT=" + std::to_string(record.key.attempt)};
    watch(attempt.pipes[0].get(), EPOLLIN, first_id + id * 4 + out_part);
    watch(attempt.pipes[1].get(), EPOLLIN, first_id + id * 4 + err_part);
    watch(attempt.process.get(), EPOLLIN, first_id + id * 4 + process_part);
    processes_.add_main(pid);
    attempts_.emplace(id, std::move(attempt));

    Writer message(MessageType::started);
    message.put(record.key);
    message.put(static_cast<std::int64_t>(pid));
    message.put(record.started_ms);
    send(std::move(message));
  }

  void refuse(ExitRecord record, int error) {
    record.cause = Cause::not_started;
    record.error = error;
    record.ended_ms = wall_ms();
    report(record);
  }

  std::vector<const char*> environment(const StartRequest& request) const {
    std::unordered_set<std::string_view> replaced(request.unset_env.begin(), request.unset_env.end());
    for (const std::string& entry : request.env)
      replaced.insert(std::string_view(entry).substr(0, entry.find('=')));
    std::vector<const char*> env;
    for (char** entry = environ; request.inherit_env && *entry; ++entry) {
      const std::string_view text = *entry;
      if (!replaced.contains(text.substr(0, text.find('=')))) env.push_back(*entry);
    }
    for (const std::string& entry : request.env) env.push_back(entry.c_str());
    env.push_back(nullptr);
    return env;
  }

  static std::string value_of(const std::vector<const char*>& env, std::string_view name,
                              const char* otherwise) {
    for (const char* entry : env) {
      if (!entry) break;
      const std::string_view text = entry;
      if (text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=') {
        return std::string(text.substr(name.size() + 1));
      }
    }
    return otherwise;
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
      attempt.log.append(which == 0 ? Stream::out : Stream::err, {buffer_, static_cast<std::size_t>(n)},
                         wall_ms());
      output_grew_ = true;
      if (static_cast<std::size_t>(n) < sizeof buffer_ && !to_the_end) return;
    }
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
          attempt.kill_at = never;
          attempt.killed = true;
          processes_.signal_all(attempt, SIGKILL);
          // Whoever forked meanwhile is caught by looking again.
          if (attempt.phase == RunningAttempt::Phase::ending) attempt.kill_at = now + 50;
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
    processes_.reap_orphans();
    for (auto it = attempts_.begin(); it != attempts_.end();) {
      const auto next = std::next(it);
      if (it->second.phase == RunningAttempt::Phase::ending) finish_if_done(it);
      it = next;
    }
  }

  // --- The end of an attempt ----------------------------------------------------------------------

  void main_process_ended(RunningAttempt& attempt) {
    if (attempt.phase != RunningAttempt::Phase::running) return;
    int status = 0;
    rusage usage{};
    if (::wait4(attempt.pid, &status, WNOHANG, &usage) != attempt.pid) return;
    processes_.remove_main(attempt.pid);
    attempt.process.reset();
    ExitRecord& r = attempt.record;
    if (r.cause == Cause::lost) r.cause = Cause::exited;
    if (WIFEXITED(status)) r.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) {
      r.signal = WTERMSIG(status);
      r.core_dumped = WCOREDUMP(status);
    }
    r.ended_ms = wall_ms();
    r.user_us = usage.ru_utime.tv_sec * 1'000'000LL + usage.ru_utime.tv_usec;
    r.system_us = usage.ru_stime.tv_sec * 1'000'000LL + usage.ru_stime.tv_usec;
    r.max_rss_kb = usage.ru_maxrss;
    r.read_bytes = usage.ru_inblock * 512LL;
    r.written_bytes = usage.ru_oublock * 512LL;
    attempt.ended = util::monotonic_ms();
    attempt.kill_at = never;
    attempt.phase = RunningAttempt::Phase::draining;
    read_output(attempt, 0, false);
    read_output(attempt, 1, false);
    // An attempt that was told to stop ends with all its processes at once.
    if (r.cause != Cause::exited || attempt.draining_done()) end_what_is_left(attempt);
  }

  void end_what_is_left(RunningAttempt& attempt) {
    attempt.phase = RunningAttempt::Phase::ending;
    if (attempt.request.leave_running || !processes_.anything_left(attempt)) return;
    // After a time-out or a stop, that the rest of the tree ends too is no news.
    if (attempt.record.cause == Cause::exited) attempt.record.left_over = processes_.count_left(attempt);
    const bool at_once = attempt.killed;
    processes_.signal_all(attempt, at_once ? SIGKILL : SIGTERM);
    processes_.signal_all(attempt, SIGCONT);
    attempt.kill_at =
        util::monotonic_ms() + (at_once ? 50 : std::min(left_over_grace_ms, attempt.request.grace_ms));
  }

  void finish_if_done(std::map<std::uint64_t, RunningAttempt>::iterator it) {
    RunningAttempt& attempt = it->second;
    if (attempt.phase == RunningAttempt::Phase::draining && attempt.draining_done())
      end_what_is_left(attempt);
    if (attempt.phase != RunningAttempt::Phase::ending) return;
    if (!attempt.request.leave_running && processes_.anything_left(attempt)) return;
    for (const int which : {0, 1}) read_output(attempt, which, true);
    attempt.record.log_bytes = attempt.log.written();
    attempt.record.log_dropped = attempt.log.dropped();
    attempt.record.log_error = attempt.log.error();
    const ExitRecord record = attempt.record;
    attempts_.erase(it);
    report(record);
  }

  void report(const ExitRecord& record) {
    (void)write_line(format_end(record));  // the runner learns it all the same
    Writer message(MessageType::ended);
    message.put(record);
    send(std::move(message));
  }

  int write_line(const std::string& line) {
    const std::string text = line + "\n";
    const ssize_t n = ::write(journal_.get(), text.data(), text.size());
    return n < 0 ? errno : n == static_cast<ssize_t>(text.size()) ? 0 : ENOSPC;
  }

  util::Fd socket_;
  KeeperPlace place_;
  util::Fd journal_, index_, null_, poll_, signals_;
  MessageBuffer inbox_;
  std::string outbox_;
  bool waiting_to_send_ = false;
  bool output_grew_ = false;  // since the runner was told
  bool output_told_ = false;  // and it has not answered yet
  std::int64_t paused_at_ = 0;
  std::uint64_t next_id_ = 0;
  std::map<std::uint64_t, RunningAttempt> attempts_;
  KeptProcesses processes_;
  char buffer_[65536];
};

}  // namespace

void serve_run(util::Fd socket, const KeeperPlace& place) { Loop(std::move(socket), place).serve(); }

}  // namespace mlops::process
