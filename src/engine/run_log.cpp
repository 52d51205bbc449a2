#include "engine/run_log.hpp"

#include "db/steps.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "process/step_log.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace mlops::engine {

namespace {

std::string log_path(const Workspace& workspace, const std::string& run_id, const AttemptLog& log) {
  return workspace.run_directory(run_id) + "/" + layout::logs + "/" +
         process::log_name(log.step, log.attempt);
}

std::uint64_t file_size(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

// Hands the bytes [from, end of file) to `sink` in pieces.
void read_from(const std::string& path, std::uint64_t from,
               const std::function<void(std::string_view)>& sink) {
  const util::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return;
  char buffer[65536];
  ssize_t n = 0;
  while ((n = ::pread(fd.get(), buffer, sizeof buffer, static_cast<off_t>(from))) > 0) {
    sink({buffer, static_cast<std::size_t>(n)});
    from += static_cast<std::uint64_t>(n);
  }
}

// Where bursts of one attempt begin, from the run's index.
struct Burst {
  std::uint64_t offset = 0;
  bool error = false;
  std::int64_t time_ms = 0;
};

std::vector<Burst> bursts_of(const Workspace& workspace, const std::string& run_id, const AttemptLog& log) {
  const std::string prefix = std::to_string(log.index) + "." + std::to_string(log.attempt) + " ";
  std::vector<Burst> bursts;
  const std::string text =
      util::read_file_if_exists(layout::in(workspace.run_directory(run_id), layout::output_index))
          .value_or("");
  for (const std::string& line : util::split(text, '\n')) {
    if (!line.starts_with(prefix)) continue;
    const auto words = util::split(line, ' ');
    if (words.size() != 4) continue;
    Burst burst;
    burst.error = words[2] == "e";
    const auto number = [](const std::string& word, auto& value) {
      return std::from_chars(word.data(), word.data() + word.size(), value).ec == std::errc();
    };
    if (number(words[1], burst.offset) && number(words[3], burst.time_ms)) bursts.push_back(burst);
  }
  return bursts;
}

std::string gap_line(std::uint64_t dropped) {
  return "[… " + std::to_string(dropped) + " bytes were not kept …]";
}

// The kept bytes of an attempt, with a line in place of the gap.
void read_kept(const std::string& path, const AttemptLog& log,
               const std::function<void(std::string_view)>& sink) {
  read_from(path, 0, sink);
  const std::uint64_t tail = file_size(path + ".tail");
  if (tail == 0) return;
  std::string rest;
  process::read_log_tail(path, log.total, file_size(path), tail, rest);
  if (log.dropped > 0) sink("\n" + gap_line(log.dropped) + "\n");
  sink(rest);
}

}  // namespace

std::vector<AttemptLog> find_logs(const Workspace& workspace, db::Database& database,
                                  const std::string& run_id, const LogRequest& request) {
  const auto steps = db::steps_of(database.connection(), run_id);
  std::map<std::pair<int, int>, AttemptRecord> attempts;
  for (const AttemptRecord& attempt : db::attempts_of(database.connection(), run_id)) {
    attempts[{attempt.step, attempt.attempt}] = attempt;
  }
  std::vector<AttemptLog> logs;
  std::vector<std::string> names;
  bool known = request.step.empty();
  for (const StepRecord& step : steps) {
    names.push_back(step.name);
    const bool wanted = request.step.empty() || step.name == request.step ||
                        step.name.substr(0, step.name.find('@')) == request.step;
    if (!wanted) continue;
    known = true;
    const int number = request.attempt > 0 ? request.attempt : step.attempts;
    const auto it = attempts.find({step.step, number});
    if (request.attempt > 0 && it == attempts.end() && !request.step.empty()) {
      throw Error(ExitCode::usage,
                  "step '" + step.name + "' has no attempt " + std::to_string(number) + " in this run",
                  "it has " + std::to_string(step.attempts));
    }
    if (number == 0) continue;
    AttemptLog log{step.name, step.step, number, 0, 0};
    const std::string path = log_path(workspace, run_id, log);
    log.total = file_size(path) + file_size(path + ".tail");
    if (it != attempts.end() && it->second.ended_at) {
      log.total = std::max(log.total, it->second.log_bytes);
      log.dropped = it->second.log_dropped;
    }
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
  const auto bursts = bursts_of(workspace, run_id, log);
  std::size_t burst = 0;
  std::uint64_t offset = 0;
  std::string partial;
  const auto emit = [&] {
    LogLine line;
    while (burst + 1 < bursts.size() && bursts[burst + 1].offset <= offset) ++burst;
    if (burst < bursts.size() && bursts[burst].offset <= offset) {
      line.time = Instant(std::chrono::milliseconds(bursts[burst].time_ms));
      line.error = bursts[burst].error;
    }
    offset += partial.size() + 1;
    line.text = std::exchange(partial, {});
    on_line(line);
  };
  read_kept(log_path(workspace, run_id, log), log, [&](std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t newline = bytes.find('\n');
      partial += bytes.substr(0, newline);
      if (newline == bytes.npos) return;
      emit();
      bytes.remove_prefix(newline + 1);
    }
  });
  if (!partial.empty()) emit();
}

void print_log(const Workspace& workspace, const std::string& run_id, const AttemptLog& log,
               const LogPrinter& printer) {
  if (printer.heading) printer.heading(log);
  if (printer.line) {
    read_lines(workspace, run_id, log, printer.line);
  } else {
    read_kept(log_path(workspace, run_id, log), log, printer.bytes);
  }
}

void follow_logs(const Workspace& workspace, db::Database& database, const std::string& run_id,
                 const LogRequest& request, std::vector<AttemptLog> printed, const LogPrinter& printer,
                 const std::function<void()>& flush) {
  const std::string directory = workspace.run_directory(run_id);
  const util::Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ::inotify_add_watch(watch.get(), (directory + "/" + layout::logs).c_str(), IN_CREATE | IN_MODIFY);
  std::map<std::pair<int, int>, std::uint64_t> offsets;
  std::pair<int, int> last{-1, -1};
  for (const AttemptLog& log : printed) {
    last = {log.index, log.attempt};
    offsets[last] = file_size(log_path(workspace, run_id, log));
  }
  while (true) {
    // Asked before reading, so that what was written before the end is not missed.
    const Liveness alive = liveness(workspace, run_id);
    for (const AttemptLog& log : find_logs(workspace, database, run_id, {request.step, 0})) {
      const std::pair<int, int> key{log.index, log.attempt};
      const std::string path = log_path(workspace, run_id, log);
      std::uint64_t& offset = offsets[key];
      if (file_size(path) <= offset) continue;
      if (last != key && printer.heading) printer.heading(log);
      last = key;
      read_from(path, offset, [&](std::string_view bytes) {
        offset += bytes.size();
        if (printer.bytes) {
          printer.bytes(bytes);
        } else {
          for (const std::string& text : util::split(bytes, '\n')) {
            if (!text.empty()) printer.line({std::nullopt, false, text});
          }
        }
      });
    }
    flush();
    if (alive == Liveness::dead) return;
    const auto holder = process::LockFile::holder(
        layout::in(directory, alive == Liveness::running ? layout::runner_lock : layout::keeper_lock));
    const util::Fd worker = holder ? process::open_process(*holder) : util::Fd();
    pollfd waiting[2] = {{watch.get(), POLLIN, 0}, {worker.get(), POLLIN, 0}};
    // A limit, because attempts reach the database a moment after their first byte.
    ::poll(waiting, worker ? 2 : 1, 1'000);
    char buffer[4096];
    while (::read(watch.get(), buffer, sizeof buffer) > 0) {}
  }
}

}  // namespace mlops::engine
