#include "cli/install_unit.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "cli/install.hpp"
#include "cli/output.hpp"
#include "schedule/installed.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace mlops::cli {

namespace {

// Those of the crontab whose schedules the daemon does not serve, and what the daemon serves besides them.
void add_crontab_notes(const Workspace& workspace, const schedule::Installed& before,
                       const std::vector<std::string>& served, std::vector<std::string>& notes) {
  std::vector<std::string> twice, own;
  for (const std::string& file : before.files())
    (std::ranges::find(served, file) != served.end() ? twice : own).push_back(workspace.relative(file));
  if (!own.empty())
    notes.push_back(util::join(own, ", ") + ": served by lines of the crontab, as before, not by the daemon");
  if (!twice.empty())
    notes.push_back(
        util::join(twice, ", ") +
        ": has lines of its own in the crontab as well, which stay; a slot runs once all the same" +
        (own.empty() ? ". `mlops schedule install --crontab --remove` takes them out" : ""));
  if (schedule::serves_all(before.block))
    notes.emplace_back(
        "the crontab has a line that serves this workspace as well, which stays; a slot runs once all the "
        "same" +
        std::string(own.empty() ? ". `mlops schedule install --crontab --remove` takes it out" : ""));
}

int print_install(const InstallOptions& options, const schedule::InstalledUnit& unit, const std::string& name,
                  const std::vector<std::string>& served, const std::vector<std::string>& notes,
                  const std::vector<schedule::ActiveLine>& active) {
  const int code = unit.started ? 0 : static_cast<int>(ExitCode::unreachable);
  if (options.json) {
    print_json({{"file", unit.path},
                {"written", true},
                {"done", unit.started},
                {"why", unit.why},
                {"to_type", unit.to_type},
                {"replaced", unit.replaced},
                {"other_daemon", unit.rival},
                {"notes", notes},
                {"gone", unit.gone},
                {"serves", served},
                {"twice", twice_json(active)}});
    return code;
  }
  for (const std::string& path : unit.replaced)
    std::printf("took %s away: a workspace has one daemon\n", path.c_str());
  std::printf("wrote %s\n", unit.path.c_str());
  if (!unit.gone.empty()) std::printf("no longer in it:\n");
  print_lines(unit.gone);
  if (unit.started) {
    std::printf("%s is enabled%s\n", name.c_str(), unit.rival == 0 ? " and runs" : "");
    std::printf("it lives as long as somebody is logged in; `loginctl enable-linger` lets it live always\n");
    print_served(served);
  }
  print_notes(notes);
  if (unit.rival > 0)
    std::fprintf(stderr,
                 "warning: process %d is a daemon of this workspace already, and the one of %s gives way to "
                 "it\n  end that one, then let this one start: kill %d; systemctl --user restart %s\n",
                 unit.rival, name.c_str(), unit.rival, name.c_str());
  warn_of_twice(active);
  if (unit.started) return code;
  throw Error(ExitCode::unreachable,
              "'" + name + "' is written, but not started, so that nothing serves " +
                  util::join(served, ", ") + " yet: " + unit.why,
              "where a systemd of yours answers: " + util::join(unit.to_type, "; ") +
                  "\n  where none does: mlops schedule install --crontab, or mlops daemon; "
                  "mlops schedule install --systemd --remove takes the unit away");
}

void print_removal(const InstallOptions& options, const Workspace& workspace,
                   const schedule::InstalledUnit& unit, const std::string& name) {
  Remaining rest = remaining(workspace, {});
  const auto left = schedule::installed_for(workspace).starters();
  rest.starters.insert(rest.starters.end(), left.begin(), left.end());
  if (options.json)
    return print_json({{"file", unit.path},
                       {"removed", true},
                       {"done", unit.started},
                       {"why", unit.why},
                       {"to_type", unit.to_type},
                       {"remaining", to_json(rest)}});
  std::printf("removed %s\n", unit.path.c_str());
  if (unit.started) {
    std::printf("%s is stopped; its runs go on\n", name.c_str());
  } else {
    std::printf("no systemd of the user answers here (%s); where one does:\n", unit.why.c_str());
    for (const std::string& line : unit.to_type) std::printf("  %s\n", line.c_str());
  }
  print_remaining(rest, false);
}

// The one that is asked for, else the one that is there, else one that is called as the workspace is.
std::string name_of_unit(const InstallOptions& options, const Workspace& workspace) {
  constexpr std::string_view ending = ".service";
  std::string name = options.name;
  if (name.empty())
    name = "mlops-" + schedule::unit_name(std::filesystem::path(workspace.root()).filename().string());
  if (schedule::unit_name(name) != name)
    throw Error(ExitCode::usage, "'" + name + "' is no name for a unit", "letters, digits, '_', '.' and '-'");
  if (!options.name.empty()) return name;
  const auto units = schedule::units_of(workspace);
  if (units.empty() || std::ranges::find(units, name + std::string(ending)) != units.end()) return name;
  return units[0].substr(0, units[0].size() - ending.size());
}

void remove_systemd(const InstallOptions& options, const Workspace& workspace, const std::string& file) {
  if (!options.files.empty())
    throw Error(ExitCode::usage, "the unit serves the workspace, not '" + options.files[0] + "' alone",
                "`mlops schedule remove " + options.files[0] + "` takes a file away from it");
  if (options.print) {
    std::printf("%s\n", schedule::user_unit_path(file).c_str());
    return;
  }
  print_removal(options, workspace, schedule::remove_unit(workspace, file, options.force), file);
}

}  // namespace

int install_systemd(const InstallOptions& options, const Workspace& workspace) {
  const std::string name = name_of_unit(options, workspace);
  if (options.remove) {
    remove_systemd(options, workspace, name + ".service");
    return 0;
  }
  db::Database database =
      options.print ? open_to_look(workspace) : db::Database::open(workspace.database_path());
  const schedule::Installed before = schedule::installed_for(workspace);
  const auto files = load_files(options, workspace, database, before.block);
  const auto call = schedule::call_of_this_program(workspace, options.variables, !options.no_path);
  const schedule::Unit unit = schedule::daemon_unit(call, name);
  const std::string path = schedule::user_unit_path(unit.name);
  if (options.print) {
    if (options.json) {
      print_json({{"written", false}, {"file", path}, {"text", unit.text}});
    } else {
      std::printf("# %s\n%s", path.c_str(), unit.text.c_str());
    }
    return 0;
  }
  std::vector<const schedule::Served*> all;
  for (const schedule::Served& file : files) all.push_back(&file);
  std::vector<std::string> notes, served;
  add_zone_note(files, notes);
  const auto installed = schedule::install_unit(workspace, unit, options.force);
  schedule::take_up(workspace, database, files, all, calendar::now_seconds());
  const auto on = schedule::served_files(workspace, database);
  for (const std::string& file : on) served.push_back(workspace.relative(file));
  add_crontab_notes(workspace, before, on, notes);
  return print_install(options, installed, unit.name, served, notes, active_lines(files));
}

}  // namespace mlops::cli
