#include "schedule/cutover.hpp"

#include <mlops/error.hpp>

#include "schedule/cron_import.hpp"
#include "schedule/user_crontab.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

namespace mlops::schedule {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_bytes = 1 << 20;

/// A command and where it runs.
struct Work {
  std::string directory, command;
  bool operator==(const Work&) const = default;
};

std::string within(const std::string& directory, const std::string& path) {
  return (fs::path(directory) / path / "").lexically_normal().string();
}

// `./train.sh >> log 2>&1` does what `./train.sh` does.
std::string_view without_redirections(std::string_view command) {
  constexpr std::string_view special = " \t'\"\\;|<()`";
  while (true) {
    command = util::trim(command);
    const std::size_t arrow = command.rfind('>');
    if (arrow == command.npos) return command;
    const std::string_view target = util::trim(command.substr(arrow + 1));
    if (target.empty() || target.find_first_of(special) != target.npos) return command;
    std::size_t end = arrow;
    if (end > 0 && command[end - 1] == '>') --end;
    while (end > 0 && std::isdigit(static_cast<unsigned char>(command[end - 1])) != 0) --end;
    if (end > 0 && command[end - 1] == '&') --end;
    if (end == 0 || std::string_view(" \t;").find(command[end - 1]) == std::string_view::npos) return command;
    command = command.substr(0, end);
  }
}

// `cd /srv && ./train.sh` is `./train.sh` in /srv.
Work work_of(const std::string& command, const std::string& directory) {
  const std::size_t next = command.find("&&");
  const auto first = simple_commands(command.substr(0, next)).front();
  const bool moves = next != command.npos && first.size() == 2 && first[0] == "cd";
  return {within(directory, moves ? first[1] : ""),
          std::string(without_redirections(moves ? std::string_view(command).substr(next + 2)
                                                 : std::string_view(command)))};
}

// What a shell of this step is told to run, wherever that stands.
std::vector<Work> works_of(const Pipeline& pipeline) {
  std::vector<Work> list;
  for (const Step& step : pipeline.steps) {
    const std::string directory = within(pipeline.directory, step.workdir);
    bool told = step.command.shell || step.command.each;
    for (const Text& word : step.command.argv) {
      if (!word.is_literal()) continue;
      if (told) list.push_back(work_of(word.literal(), directory));
      told = told || word.literal() == "-c";
    }
  }
  return list;
}

// Whether it runs this file, and not for a slot.
bool runs_file(const std::string& command, std::string directory, const std::string& file) {
  for (const std::vector<std::string>& words : simple_commands(command)) {
    if (words.size() == 2 && words[0] == "cd") directory = within(directory, words[1]);
    const auto program = std::ranges::find_if(
        words, [](const std::string& word) { return word.substr(word.rfind('/') + 1) == "mlops"; });
    const auto verb = std::find_if(program, words.end(),
                                   [](const auto& word) { return word == "run" || word == "submit"; });
    const bool for_slot =
        std::any_of(verb, words.end(), [](const auto& word) { return word.starts_with("--slot"); });
    if (!for_slot && std::any_of(verb, words.end(), [&](const auto& word) {
          return (fs::path(directory) / word).lexically_normal() == file;
        }))
      return true;
  }
  return false;
}

// Debian's cron reads what has a plain name, cronie all that is not left behind by an editor or by rpm.
bool is_read(const std::string& name, CronKind kind) {
  if (kind == CronKind::debian)
    return std::ranges::all_of(name,
                               [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
  const auto is_ending = [&](const char* ending) { return name.ends_with(ending); };
  return name[0] != '.' && name[0] != '#' &&
         !std::ranges::any_of(std::initializer_list<const char*>{"~", ".rpmsave", ".rpmorig", ".rpmnew"},
                              is_ending);
}

std::string directory_of(const CronJob& job, const CronUser& user) {
  const auto own = job.variables.find("HOME");
  return own == job.variables.end() ? user.home : own->second;
}

}  // namespace

std::vector<CronJob> jobs_of_cron(int limit_ms) {
  const CronKind kind = installed_cron();
  std::vector<CronJob> jobs = jobs_of_system("/etc", kind);
  try {
    auto own = read_crontab(read_user_crontab(limit_ms), {kind}).jobs;
    for (CronJob& job : own) job.directory = directory_of(job, this_user());
    jobs.insert(jobs.begin(), own.begin(), own.end());
  } catch (const Error&) {  // there is no cron for this user
  }
  std::erase_if(jobs, [](const CronJob& job) { return job.times == "@reboot"; });
  return jobs;
}

std::vector<CronJob> jobs_of_system(const std::string& etc, CronKind kind) {
  std::set<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(etc + "/cron.d", error)) {
    if (is_read(entry.path().filename().string(), kind)) files.insert(entry.path().string());
  }
  files.insert(etc + "/crontab");
  std::vector<CronJob> jobs;
  for (const std::string& file : files) {
    try {
      for (CronJob& job :
           read_crontab(util::read_regular_file(file, most_bytes).value_or(""), {kind, true}).jobs) {
        const auto user = find_user(job.user);
        if (!user) continue;  // nor does cron run it
        job.file = file;
        job.directory = directory_of(job, *user);
        jobs.push_back(std::move(job));
      }
    } catch (const Error&) {  // it is not for us to read
    }
  }
  return jobs;
}

std::vector<ActiveLine> active_lines(const std::vector<CronJob>& jobs,
                                     const std::vector<const Pipeline*>& pipelines) {
  std::vector<ActiveLine> lines;
  if (jobs.empty()) return lines;
  for (const Pipeline* pipeline : pipelines) {
    if (pipeline->schedules.empty()) continue;
    const std::vector<Work> works = works_of(*pipeline);
    const std::string file = util::absolute_path(pipeline->file);
    for (const CronJob& job : jobs) {
      const std::string directory = job.directory.empty() ? directory_of(job, this_user()) : job.directory;
      if (std::ranges::find(works, work_of(job.command, directory)) != works.end() ||
          runs_file(job.command, directory, file))
        lines.push_back({job.line, job.written, pipeline->name, job.file, job.user});
    }
  }
  return lines;
}

std::string way_out(const std::vector<ActiveLine>& lines) {
  std::map<std::string, std::set<int>> numbers;
  for (const ActiveLine& each : lines) numbers[each.file].insert(each.line);
  std::vector<std::string> commands;
  for (const auto& [file, of_file] : numbers) {
    std::string edit;
    for (const int line : of_file) edit += (edit.empty() ? "" : ";") + std::to_string(line) + "s/^/# /";
    const bool others = !file.empty() && ::access(file.c_str(), W_OK) != 0 && errno == EACCES;
    commands.push_back(file.empty()
                           ? "crontab -l | sed '" + edit + "' | crontab -"
                           : (others ? "sudo sed -i '" : "sed -i '") + edit + "' " + util::shell_quote(file));
  }
  return util::join(commands, "; ");
}

std::string words_for(const ActiveLine& line) {
  return "line " + std::to_string(line.line) + " of " +
         (line.file.empty() ? "the crontab" : util::escape_controls(line.file)) + " runs " + line.pipeline +
         " as well" + (line.user.empty() ? "" : ", as " + util::escape_controls(line.user)) +
         ", so that it runs twice: " + util::escape_controls(line.written);
}

}  // namespace mlops::schedule
