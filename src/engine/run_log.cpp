#include "engine/run_log.hpp"

#include <mlops/error.hpp>

#include "db/steps.hpp"
#include "engine/log_reader.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "process/run_files.hpp"
#include "process/step_log.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

namespace mlops::engine {

namespace {

std::string log_path(const Workspace& workspace, const std::string& run_id, const AttemptLog& log) {
  return layout::in(workspace.run_directory(run_id), layout::logs) + "/" +
         process::log_name(log.step, log.attempt);
}

LogIndex index_of(const Workspace& workspace, const std::string& run_id) {
  return LogIndex(layout::in(workspace.run_directory(run_id), layout::output_index));
}

bool fits(const StepRecord& step, const std::string& name) {
  return name.empty() || step.name == name || step.name.substr(0, step.name.find('@')) == name;
}

class AttemptLogs {
 public:
  AttemptLogs(const Workspace& workspace, db::Database& database, const std::string& run_id)
      : workspace_(workspace), run_id_(run_id), steps_(db::steps_of(database.connection(), run_id)) {
    for (AttemptRecord& attempt : db::attempts_of(database.connection(), run_id))
      attempts_[{attempt.step, attempt.attempt}] = std::move(attempt);
  }

  const std::vector<StepRecord>& steps() const { return steps_; }
  bool has(int step, int attempt) const { return attempts_.contains({step, attempt}); }

  AttemptLog log(const StepRecord& step, int attempt) const {
    AttemptLog log{step.name, step.step, attempt, 0, false};
    const std::string path = log_path(workspace_, run_id_, log);
    log.total = util::file_size(path) + util::file_size(process::run_files::log_tail(path));
    const auto it = attempts_.find({step.step, attempt});
    if (it != attempts_.end() && it->second.ended_at) {
      log.ended = true;
      log.total = std::max(log.total, it->second.log_bytes);
    }
    return log;
  }

 private:
  const Workspace& workspace_;
  const std::string& run_id_;
  std::vector<StepRecord> steps_;
  std::map<std::pair<int, int>, AttemptRecord> attempts_;
};

}  // namespace

std::vector<AttemptLog> find_logs(const Workspace& workspace, db::Database& database,
                                  const std::string& run_id, const LogRequest& request) {
  const AttemptLogs all(workspace, database, run_id);
  std::vector<AttemptLog> logs;
  std::vector<std::string> names;
  bool known = request.step.empty();
  for (const StepRecord& step : all.steps()) {
    names.push_back(step.name);
    if (!fits(step, request.step)) continue;
    known = true;
    const int number = request.attempt > 0 ? request.attempt : step.attempts;
    if (request.attempt > 0 && !all.has(step.step, number) && !request.step.empty()) {
      throw Error(ExitCode::usage,
                  "step '" + step.name + "' has no attempt " + std::to_string(number) + " in this run",
                  "it has " + std::to_string(step.attempts));
    }
    if (number == 0) continue;
    AttemptLog log = all.log(step, number);
    if (log.total > 0) logs.push_back(std::move(log));
  }
  if (!known) {
    throw Error(ExitCode::usage, "run " + run_id + " has no step '" + request.step + "'",
                util::did_you_mean(request.step, names));
  }
  return logs;
}

void read_lines(const Workspace& workspace, const std::string& run_id, const AttemptLog& log,
                const std::function<void(const LogLine&)>& on_line) {
  print_log(workspace, run_id, log, {.heading = nullptr, .line = on_line, .bytes = nullptr});
}

void print_log(const Workspace& workspace, const std::string& run_id, const AttemptLog& log,
               const LogPrinter& printer) {
  if (printer.heading) printer.heading(log);
  LogIndex index = index_of(workspace, run_id);
  LogReader(log_path(workspace, run_id, log), index, printer, LogReader::Lines::as_they_come, [] {
  }).advance(log, true);
}

namespace {

class Follower {
 public:
  Follower(const Workspace& workspace, db::Database& database, const std::string& run_id,
           const LogRequest& request, const LogPrinter& printer)
      : workspace_(workspace),
        database_(database),
        run_id_(run_id),
        request_(request),
        printer_(printer),
        index_(index_of(workspace, run_id)) {}

  /// Prints what is new; `over`: nothing more will come.
  void look(bool over) {
    const AttemptLogs all(workspace_, database_, run_id_);
    for (const StepRecord& step : all.steps()) {
      if (!fits(step, request_.step)) continue;
      const int last = request_.attempt > 0 ? request_.attempt : step.attempts;
      // From the attempt that was the last one at first, so that the end of none is missed.
      int& first = first_.try_emplace(step.step, last).first->second;
      if (first == 0) first = last > 0 ? 1 : 0;
      for (int attempt = std::max(1, first); attempt <= last; ++attempt) {
        const AttemptLog log = all.log(step, attempt);
        const bool done = over || log.ended;
        reader_of(log).advance(log, done);
        if (log.ended && attempt < last) first = attempt + 1;
      }
    }
  }

 private:
  LogReader& reader_of(const AttemptLog& log) {
    const std::pair<int, int> key{log.index, log.attempt};
    const auto it = readers_.find(key);
    if (it != readers_.end()) return it->second;
    const auto head = [this, key, log] {
      if (last_ != key && printer_.heading) printer_.heading(log);
      last_ = key;
    };
    // One step's bytes are shown as they come; of several, lines must not be mixed.
    const auto lines =
        request_.step.empty() || printer_.line ? LogReader::Lines::whole : LogReader::Lines::as_they_come;
    return readers_.try_emplace(key, log_path(workspace_, run_id_, log), index_, printer_, lines, head)
        .first->second;
  }

  const Workspace& workspace_;
  db::Database& database_;
  const std::string& run_id_;
  const LogRequest& request_;
  const LogPrinter& printer_;
  LogIndex index_;
  std::map<int, int> first_;
  std::map<std::pair<int, int>, LogReader> readers_;
  std::pair<int, int> last_{-1, -1};
};

}  // namespace

void follow_logs(const Workspace& workspace, db::Database& database, const std::string& run_id,
                 const LogRequest& request, const LogPrinter& printer, const std::function<void()>& flush) {
  const std::string directory = workspace.run_directory(run_id);
  const util::Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ::inotify_add_watch(watch.get(), layout::in(directory, layout::logs).c_str(), IN_CREATE | IN_MODIFY);
  Follower follower(workspace, database, run_id, request, printer);
  while (true) {
    // Asked before reading, so that what was written before the end is not missed.
    const Liveness alive = liveness(workspace, run_id);
    if (alive == Liveness::dead) recover_all(workspace, database);
    follower.look(alive == Liveness::dead);
    flush();
    if (alive == Liveness::dead) return;
    const auto holder = process::LockFile::holder(
        layout::in(directory, alive == Liveness::running ? layout::runner_lock : layout::keeper_lock));
    const util::Fd worker = holder ? process::open_process(*holder) : util::Fd();
    pollfd waiting[2] = {{watch.get(), POLLIN, 0}, {worker.get(), POLLIN, 0}};
    // A limit, because attempts reach the database a moment after their first byte; a pause, because a flood
    // is read in large pieces as well.
    ::poll(waiting, worker ? 2 : 1, 1'000);
    util::pause_us(10'000);
    char buffer[4096];
    while (::read(watch.get(), buffer, sizeof buffer) > 0) {}
  }
}

}  // namespace mlops::engine
