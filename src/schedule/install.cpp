#include "schedule/install.hpp"

#include <mlops/error.hpp>

#include "db/slots.hpp"
#include "process/spawn.hpp"
#include "schedule/bell.hpp"
#include "schedule/crontab.hpp"
#include "schedule/ledger.hpp"
#include "schedule/translation.hpp"
#include "schedule/user_crontab.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <utility>

namespace mlops::schedule {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> words_of(const Call& call, std::initializer_list<std::string> rest) {
  std::vector<std::string> words;
  if (!call.environment.empty()) words.emplace_back("/usr/bin/env");
  for (const auto& [name, value] : call.environment) words.push_back(name + "=" + value);
  words.insert(words.end(), {call.program, "-w", call.workspace});
  words.insert(words.end(), rest);
  return words;
}

std::string line_of(const std::string& times, const std::vector<std::string>& words) {
  std::string command = cron_command(words);
  if (command.size() > longest_command) {
    throw Error(
        ExitCode::usage,
        "the line would be too long for cron: its command has " + std::to_string(command.size()) +
            " characters, of " + std::to_string(longest_command),
        "most of it is likely to be PATH: --no-path leaves it out, so that it can be set in the crontab");
  }
  return times + " " + command;
}

std::string each_minute(const Call& call) {
  return line_of("* * * * *", words_of(call, {"daemon", "--once", "--quiet"}));
}

// Why a crontab cannot say this entry exactly; empty if it can.
std::string obstacle(const Timetable& timetable, const Translation& translation, bool clock) {
  if (!clock) return "the crontab sets a time zone of its own, which not every cron knows";
  if (!translation.lost.empty()) return util::join(translation.lost, ", ");
  return timetable.entry.catchup == Catchup::all ? "`catchup: all` needs a look at all that was missed" : "";
}

bool is_every_seconds(const Timetable& timetable) {
  return timetable.entry.every.count() > 0 && timetable.entry.every < std::chrono::minutes(1);
}

/// What a line of a block is for: a file, or all that is served; neither, if mlops has not written it.
struct BlockLine {
  std::string file;
  bool all = false;
};

BlockLine read_block_line(const std::string& line) {
  const Crontab crontab = read_crontab(line + "\n", {});
  if (crontab.jobs.empty()) return {};
  const std::vector<std::string> words = simple_commands(crontab.jobs[0].command).front();
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "-w" && i + 2 < words.size() && words[i + 2] == "daemon") return {"", true};
    if (words[i] == "-w" && i + 4 < words.size() && words[i + 2] == "run" && words[i + 4] == "--slot")
      return {words[i + 3], false};
  }
  return {};
}

}  // namespace

Call call_of_this_program(const Workspace& workspace, const std::vector<std::string>& variables,
                          bool with_path) {
  Call call;
  call.workspace = workspace.root();
  std::error_code error;
  const fs::path self = fs::canonical("/proc/self/exe", error);
  if (error) throw Error(ExitCode::io, "cannot tell where this program lies: " + error.message());
  call.program = self.string();
  const char* path = std::getenv("PATH");
  const std::string found = process::find_program("mlops", path ? path : "", "/");
  if (found.starts_with('/') && fs::canonical(found, error) == self && !error) call.program = found;
  if (with_path && path) call.environment["PATH"] = path;
  for (const std::string& name : variables) {
    const char* value = std::getenv(name.c_str());
    if (!value)
      throw Error(ExitCode::usage, "the environment variable " + name + " is not set here",
                  "--env hands on the value that it has here");
    call.environment[name] = value;
  }
  return call;
}

Served load_served(const std::string& file) {
  Pipeline pipeline = load_pipeline(file, {.overrides = {}, .check_files = true});
  if (pipeline.schedules.empty())
    throw Error(ExitCode::usage, "'" + file + "' has no schedule",
                "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
  pipeline::Zones zones;
  std::vector<Timetable> times = timetables(pipeline, zones);
  return {util::absolute_path(file), std::move(pipeline), std::move(times)};
}

std::vector<std::string> served_files(const Workspace& workspace, db::Database& database) {
  std::set<std::string> files;
  for (const ScheduleRecord& record : db::schedules(database.connection())) {
    if (record.served && !record.removed_at)
      files.insert(record.file.starts_with('/') ? record.file : workspace.root() + "/" + record.file);
  }
  return {files.begin(), files.end()};
}

CrontabLines crontab_lines(const Call& call, CrontabStyle style, const std::vector<Served>& files,
                           const calendar::TimeZone* clock, sys_seconds now) {
  CrontabLines result;
  const auto by_daemon = [&](const Served& file) { result.by_daemon.push_back(&file); };
  if (style == CrontabStyle::reboot) {
    std::ranges::for_each(files, by_daemon);
    result.lines = {line_of("@reboot", words_of(call, {"daemon", "--quiet"}))};
    result.notes = {
        "nobody starts the daemon again if it is killed, before the machine itself starts again; "
        "--systemd does"};
    return result;
  }
  for (const Served& file : files) {
    std::vector<std::string> lines;
    bool exact = style == CrontabStyle::lines;
    for (const Timetable& timetable : file.timetables) {
      const std::string what = file.pipeline.name + " " + timetable.entry.name;
      if (is_every_seconds(timetable))
        result.notes.push_back(what +
                               ": cron looks once a minute only; a daemon that is started with "
                               "--systemd or --reboot runs " +
                               times_of(timetable.entry));
      if (style == CrontabStyle::once) continue;
      const Translation translation = clock ? to_crontab(timetable, *clock, now) : Translation{};
      const std::string why = obstacle(timetable, translation, clock != nullptr);
      if (why.empty()) {
        lines.push_back(
            line_of(translation.times[0], words_of(call, {"run", file.file, "--slot", "now", "--quiet"})));
      } else {
        exact = false;
        result.notes.push_back(what + ": its times cannot be said exactly in a crontab (" + why +
                               "); a line that looks each minute serves its file");
      }
    }
    if (exact) {
      result.lines.insert(result.lines.end(), lines.begin(), lines.end());
    } else {
      by_daemon(file);
    }
  }
  if (!result.by_daemon.empty()) result.lines.push_back(each_minute(call));
  return result;
}

void take_up(const Workspace& workspace, db::Database& database, const std::vector<Served>& files,
             const std::vector<const Served*>& by_daemon, sys_seconds now) {
  Ledger ledger(workspace, database);
  for (const Served& file : files) {
    const bool serve = std::ranges::find(by_daemon, &file) != by_daemon.end();
    ledger.adopt(file.pipeline, file.timetables, now, serve ? std::optional(true) : std::nullopt);
  }
  ring(workspace, layout::daemon_bell);
}

BlockChange with_added(const std::vector<std::string>& block, const CrontabLines& plan,
                       const std::vector<Served>& files, bool serves_others) {
  std::vector<std::string> named;
  for (const Served& file : files) named.push_back(file.file);
  BlockChange change = without_files(block, named, serves_others && plan.by_daemon.empty());
  for (const std::string& line : plan.lines) {
    change.lines.push_back(line);
    std::erase(change.gone, line);
  }
  return change;
}

BlockChange without_files(const std::vector<std::string>& block, const std::vector<std::string>& files,
                          bool serves_others) {
  BlockChange change;
  for (const std::string& line : block) {
    const BlockLine what = read_block_line(line);
    const bool stays =
        what.all ? serves_others : !what.file.empty() && std::ranges::find(files, what.file) == files.end();
    (stays ? change.lines : change.gone).push_back(line);
  }
  return change;
}

std::vector<std::string> files_of_block(const std::vector<std::string>& block) {
  std::set<std::string> files;
  for (const std::string& line : block) files.insert(read_block_line(line).file);
  files.erase("");
  return {files.begin(), files.end()};
}

std::string file_of_line(const std::string& line) { return read_block_line(line).file; }

bool serves_all(const std::vector<std::string>& block) {
  return std::ranges::any_of(block, [](const std::string& line) { return read_block_line(line).all; });
}

std::vector<std::string> read_block(const std::string& crontab, const Workspace& workspace, bool force) {
  const auto block = find_block(lines_of(crontab), workspace.root());
  if (!block) return {};
  if (block->changed && !force) {
    throw Error(ExitCode::busy,
                "somebody has edited lines " + std::to_string(block->first + 1) + " to " +
                    std::to_string(block->last + 1) + " of the crontab, which mlops had written",
                "they are left as they are: see `crontab -l`; --force replaces them");
  }
  return block->lines;
}

BlockChange edit_crontab_block(const Workspace& workspace, bool force,
                               const std::function<BlockChange(const std::vector<std::string>&)>& edit) {
  BlockChange first;
  bool again = false;
  edit_user_crontab([&](const std::string& text) {
    const BlockChange change = edit(read_block(text, workspace, force));
    if (!std::exchange(again, true)) first = change;
    first.lines = change.lines;
    return with_block(lines_of(text), workspace.root(), change.lines);
  });
  return first;
}

bool crontab_has_own_zone(const std::string& crontab, const Workspace& workspace) {
  for (const std::string& line : lines_of(crontab)) {
    if (line == std::string(block_begin) + workspace.root()) return false;
    const std::string_view text = util::trim(line);
    if (text.starts_with("CRON_TZ") && text.find('=') != text.npos) return true;
  }
  return false;
}

}  // namespace mlops::schedule
