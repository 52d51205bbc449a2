#include "engine/cancellation.hpp"

#include <mlops/error.hpp>

#include "db/runs.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <vector>

namespace mlops::engine {

namespace {

using process::Identity;
using process::LockFile;

bool is_resume(const Identity& process) {
  const auto line =
      util::read_file_if_exists("/proc/" + std::to_string(process.pid) + "/cmdline").value_or("");
  const auto words = util::split(line, '\0');
  return std::any_of(words.begin(), words.end(),
                     [](const auto& word) { return word.starts_with("--resume"); });
}

class Canceller {
 public:
  Canceller(const Workspace& workspace, db::Database& database, const std::string& id,
            const Cancellation& request)
      : database_(database),
        id_(id),
        request_(request),
        runner_lock_(layout::in(workspace.run_directory(id), layout::runner_lock)),
        keeper_lock_(layout::in(workspace.run_directory(id), layout::keeper_lock)) {}

  /// Until both locks are free, or somebody was asked and nobody is to be waited for.
  void run() {
    while (look()) {
      if (!request_.wait && !asked_.empty()) return;
      wait();
    }
  }
  bool asked_a_runner() const { return asked_a_runner_; }
  bool asked_anybody() const { return !asked_.empty(); }

 private:
  // Asks whoever has to be asked now; false when nobody works on the run any more.
  bool look() {
    // The keeper first: none can appear while somebody holds the runner's lock without being the runner.
    const bool kept = LockFile::is_locked(keeper_lock_);
    const bool held = LockFile::is_locked(runner_lock_);
    keeper_ = kept ? LockFile::holder(keeper_lock_) : std::nullopt;
    holder_ = held ? LockFile::holder(runner_lock_) : std::nullopt;
    if (!kept && !held) return false;
    if (holder_ && is_runner(*holder_)) {
      asked_a_runner_ = true;
      // A second SIGTERM might merge with the first: to end at once there is a signal of its own.
      ask(*holder_, request_.now ? SIGQUIT : SIGTERM, runner_lock_);
      return true;
    }
    if (!kept || (held && !holder_)) return true;
    // Who waits for the keeper to go on with the run must not do so.
    if (holder_ && is_resume(*holder_)) ask(*holder_, SIGTERM, runner_lock_);
    if (keeper_) ask(*keeper_, SIGTERM, keeper_lock_);
    return true;
  }

  bool is_runner(const Identity& process) const {
    const auto run = db::find_run(database_.connection(), id_);
    return run && run->runner_pid == process.pid && run->boot_id == process.boot_id;
  }

  void ask(const Identity& process, int signal, const std::string& lock) {
    const auto same = [&](const Identity& other) {
      return other.pid == process.pid && other.start_ticks == process.start_ticks;
    };
    if (std::any_of(asked_.begin(), asked_.end(), same)) return;
    if (process::signal_process(process, signal)) {
      process::signal_process(process, SIGCONT);  // one that is suspended would not see it otherwise
      asked_.push_back(process);
      return;
    }
    const auto now = LockFile::holder(lock);
    if (!LockFile::is_locked(lock) || !now || !same(*now)) return;  // it has just ended
    throw Error(ExitCode::busy,
                "cannot cancel run " + id_ + ": its process is on another machine or of another user",
                "cancel it where it runs");
  }

  // A limit, because the locks may pass to others meanwhile.
  void wait() const {
    std::vector<util::Fd> processes;
    std::vector<pollfd> waiting;
    for (const auto& process : {keeper_, holder_}) {
      if (!process) continue;
      processes.push_back(process::open_process(*process));
      if (processes.back()) waiting.push_back({processes.back().get(), POLLIN, 0});
    }
    if (waiting.empty()) return util::pause_us(20'000);  // it is just starting or just ending
    ::poll(waiting.data(), waiting.size(), 200);
    util::pause_us(1'000);
  }

  db::Database& database_;
  const std::string& id_;
  const Cancellation& request_;
  std::string runner_lock_, keeper_lock_;
  std::optional<Identity> keeper_, holder_;
  std::vector<Identity> asked_;
  bool asked_a_runner_ = false;
};

}  // namespace

CancelResult cancel_run(const Workspace& workspace, db::Database& database, const std::string& id,
                        const Cancellation& request) {
  Canceller canceller(workspace, database, id, request);
  canceller.run();
  CancelResult result;
  if (!request.wait && canceller.asked_anybody()) {
    result.cancelled = true;
    result.words = "was asked to stop";
    return result;
  }
  recover_all(workspace, database);
  const auto run = db::find_run(database.connection(), id);
  const std::string state = run ? to_string(run->state) : "gone";
  if (!canceller.asked_anybody()) {
    const bool passive = run && (run->state == RunState::cancelled || run->state == RunState::interrupted);
    result.words = std::string("is not running: it ") + (passive ? "was " : "has ") + state;
    return result;
  }
  result.still_runs = run && run->state == RunState::running;
  if (result.still_runs) {
    result.words = "still runs: another process goes on with it";
    return result;
  }
  result.cancelled = run && (run->state == RunState::cancelled || run->state == RunState::interrupted);
  if (!canceller.asked_a_runner()) result.words = "had lost its runner; its steps were stopped; it ";
  result.words += run ? "ended as " + state : "is gone";
  return result;
}

}  // namespace mlops::engine
