#include "cli/install_parts.hpp"

#include <mlops/error.hpp>

#include "cli/output.hpp"
#include "process/lock_file.hpp"
#include "schedule/crontab.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace mlops::cli {

void print_lines(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

void print_notes(const std::vector<std::string>& notes) {
  std::fflush(stdout);  // where both go to one place, they come after what they are about
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
}

db::Database open_to_look(const Workspace& workspace) {
  if (!util::exists(workspace.database_path())) return db::Database::empty();
  return db::Database::open_to_read(workspace.database_path(),
                                    workspace.trusted() ? db::Access::write : db::Access::read_only);
}

std::vector<schedule::Served> load_files(const InstallOptions& options, const Workspace& workspace,
                                         db::Database& database, const std::vector<std::string>& block) {
  std::vector<std::string> names = options.files;
  if (names.empty()) {
    names = schedule::served_files(workspace, database);
    const auto others = schedule::files_of_block(block);
    names.insert(names.end(), others.begin(), others.end());
  }
  std::vector<schedule::Served> files;
  std::set<std::string> known;
  for (const std::string& file : names) {
    if (known.insert(util::absolute_path(file)).second) files.push_back(schedule::load_served(file));
  }
  if (files.empty())
    throw Error(ExitCode::usage, "no schedule is served in '" + workspace.root() + "'",
                "name pipeline files, as in  mlops schedule install --crontab pipeline.yaml");
  return files;
}

void add_zone_note(const std::vector<schedule::Served>& files, std::vector<std::string>& notes) {
  const char* zone = std::getenv("TZ");
  if (!zone || !*zone || calendar::TimeZone::machine_name() == calendar::TimeZone::local_name()) return;
  for (const schedule::Served& file : files) {
    for (const schedule::Timetable& timetable : file.timetables) {
      if (!timetable.entry.timezone.empty() || timetable.entry.cron.empty()) continue;
      notes.push_back(file.pipeline.name + " " + timetable.entry.name + ": TZ is " + zone +
                      " here, and will not be set there: its times are those of " +
                      calendar::TimeZone::machine_name() + "; `timezone:` in the file settles it");
    }
  }
}

std::vector<schedule::ActiveLine> active_lines(const std::vector<schedule::Served>& files) {
  std::vector<const Pipeline*> pipelines;
  for (const schedule::Served& file : files) pipelines.push_back(&file.pipeline);
  return schedule::active_lines(schedule::jobs_of_cron(), pipelines);
}

nlohmann::json twice_json(const std::vector<schedule::ActiveLine>& lines) {
  nlohmann::json list = nlohmann::json::array();
  for (const schedule::ActiveLine& each : lines)
    list.push_back({{"line", each.line},
                    {"written", each.written},
                    {"pipeline", each.pipeline},
                    {"file", each.file},
                    {"user", each.user}});
  return {{"lines", std::move(list)}, {"way_out", schedule::way_out(lines)}};
}

void print_served(const std::vector<std::string>& files) {
  if (!files.empty()) std::printf("serving %s\n", shown(util::join(files, ", ")).c_str());
}

Remaining remaining(const Workspace& workspace, const std::vector<std::string>& block) {
  Remaining result;
  db::Database database = open_to_look(workspace);
  const auto on = schedule::served_files(workspace, database);
  for (const std::string& file : on) result.on.push_back(workspace.relative(file));
  for (const std::string& file : schedule::files_of_block(block)) {
    if (std::ranges::find(on, file) == on.end()) result.by_hand.push_back(workspace.relative(file));
  }
  if (process::LockFile::is_locked(layout::in(workspace.state_directory(), layout::daemon_lock)))
    result.starters.emplace_back("the daemon that runs");
  return result;
}

nlohmann::json to_json(const Remaining& r) {
  return {{"on", r.on}, {"by_hand", r.by_hand}, {"started_by", r.starters}};
}

void print_remaining(const Remaining& r, bool would_be) {
  if (would_be && !(r.by_hand.empty() && r.on.empty())) std::printf("after that:\n");
  if (!r.by_hand.empty())
    std::printf("%s: by hand only from now on, as with `mlops run FILE --slot now`\n",
                shown(util::join(r.by_hand, ", ")).c_str());
  if (r.on.empty()) return;
  const std::string files = shown(util::join(r.on, ", "));
  if (!r.starters.empty())
    return static_cast<void>(
        std::printf("%s: served still, by %s\n", files.c_str(), util::join(r.starters, " and ").c_str()));
  std::printf(
      "%s: on still, but nothing starts what is due any more, until `mlops daemon` or `mlops schedule "
      "install` does;\n  `mlops schedule remove FILE` takes a file off the list\n",
      files.c_str());
}

}  // namespace mlops::cli
