#include "schedule/install.hpp"

#include "calendar/instants.hpp"
#include "cli/install.hpp"
#include "cli/output.hpp"
#include "schedule/crontab.hpp"
#include "schedule/user_crontab.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace mlops::cli {

namespace {

struct Options {
  std::vector<std::string> files;
  bool crontab = false, systemd = false;
  bool lines = false, reboot = false;
  bool print = false, remove = false, force = false, json = false;
  bool no_path = false;
  std::vector<std::string> variables;
  std::string name;
};

void print_lines(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

void print_notes(const std::vector<std::string>& notes) {
  std::fflush(stdout);  // where both go to one place, they come after what they are about
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
}

// That of the first file, else the one around here.
Workspace find_workspace(const Options& options, const Context& context) {
  std::string directory = ".";
  if (!options.files.empty()) {
    directory = std::filesystem::path(options.files[0]).parent_path().string();
    if (directory.empty()) directory = ".";
  }
  if (options.print || options.remove) return Workspace::require(directory, context.workspace);
  bool created = false;
  Workspace workspace = Workspace::find_or_create(directory, context.workspace, created);
  workspace.check_owner();
  return workspace;
}

db::Database open_to_look(const Workspace& workspace) {
  if (!util::exists(workspace.database_path())) return db::Database::empty();
  return db::Database::open_to_read(workspace.database_path(),
                                    workspace.trusted() ? db::Access::write : db::Access::read_only);
}

std::vector<schedule::Served> load_files(const Options& options, const Workspace& workspace,
                                         db::Database& database) {
  std::vector<schedule::Served> files;
  const auto names = options.files.empty() ? schedule::served_files(workspace, database) : options.files;
  for (const std::string& file : names) files.push_back(schedule::load_served(file));
  if (files.empty())
    throw Error(ExitCode::usage, "no schedule is served in '" + workspace.root() + "'",
                "name pipeline files, as in  mlops schedule install --crontab pipeline.yaml");
  return files;
}

// The same file means another time where TZ is not what it is here.
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

void install_crontab(const Options& options, const Workspace& workspace, const Context& context) {
  db::Database database =
      options.print ? open_to_look(workspace) : db::Database::open(workspace.database_path());
  const auto files = load_files(options, workspace, database);
  const auto call = schedule::call_of_this_program(workspace, options.variables, !options.no_path);
  const auto style = options.lines    ? schedule::CrontabStyle::lines
                     : options.reboot ? schedule::CrontabStyle::reboot
                                      : schedule::CrontabStyle::once;
  const bool own_zone =
      options.lines && schedule::crontab_has_own_zone(schedule::read_user_crontab(), workspace);
  const auto clock = calendar::TimeZone::load(calendar::TimeZone::machine_name());
  auto plan =
      schedule::crontab_lines(call, style, files, own_zone ? nullptr : &clock, calendar::now_seconds());
  add_zone_note(files, plan.notes);
  if (!options.print) {
    schedule::put_crontab_block(workspace, plan.lines, options.force);
    schedule::take_up(workspace, database, files, plan.by_daemon, calendar::now_seconds());
  }
  if (options.json)
    return print_json({{"written", !options.print}, {"lines", plan.lines}, {"notes", plan.notes}});
  if (!options.print) std::printf("in the crontab:\n");
  print_lines(plan.lines);
  print_notes(plan.notes);
  if (!options.print)
    std::printf("to take it away: %s schedule install --crontab --remove\n",
                program_here(workspace, context).c_str());
}

void remove_crontab(const Options& options, const Workspace& workspace) {
  const auto block =
      schedule::find_block(schedule::lines_of(schedule::read_user_crontab()), workspace.root());
  if (!block)
    throw Error(ExitCode::usage, "the crontab has no lines of mlops for '" + workspace.root() + "'",
                "`crontab -l` shows it");
  if (!options.print) schedule::put_crontab_block(workspace, {}, options.force);
  if (options.json) return print_json({{"removed", !options.print}, {"lines", block->lines}});
  std::printf("%s\n", options.print ? "would be taken out of the crontab:" : "taken out of the crontab:");
  print_lines(block->lines);
}

void print_unit_result(const Options& options, const schedule::InstalledUnit& unit, const std::string& name,
                       const std::vector<std::string>& notes) {
  if (options.json)
    return print_json({{"file", unit.path},
                       {"done", unit.started},
                       {"to_type", unit.to_type},
                       {"notes", notes},
                       {options.remove ? "removed" : "written", true}});
  std::printf("%s %s\n", options.remove ? "removed" : "wrote", unit.path.c_str());
  if (unit.started) {
    std::printf("%s is %s\n", name.c_str(), options.remove ? "stopped; its runs go on" : "enabled and runs");
  } else {
    std::printf("no systemd of the user answers here; where one does:\n");
    for (const std::string& line : unit.to_type) std::printf("  %s\n", line.c_str());
  }
  if (!options.remove)
    std::printf("it lives as long as somebody is logged in; `loginctl enable-linger` lets it live always\n");
  print_notes(notes);
}

void install_systemd(const Options& options, const Workspace& workspace) {
  std::string name = options.name;
  if (name.empty())
    name = "mlops-" + schedule::unit_name(std::filesystem::path(workspace.root()).filename().string());
  if (schedule::unit_name(name) != name)
    throw Error(ExitCode::usage, "'" + name + "' is no name for a unit", "letters, digits, '_', '.' and '-'");
  if (options.remove) {
    const std::string file = name + ".service";
    if (options.print) {
      std::printf("%s\n", schedule::user_unit_path(file).c_str());
      return;
    }
    return print_unit_result(options, schedule::remove_unit(workspace, file, options.force), file, {});
  }
  db::Database database =
      options.print ? open_to_look(workspace) : db::Database::open(workspace.database_path());
  const auto files = load_files(options, workspace, database);
  const auto call = schedule::call_of_this_program(workspace, options.variables, !options.no_path);
  const schedule::Unit unit = schedule::daemon_unit(call, name);
  const std::string path = schedule::user_unit_path(unit.name);
  if (options.print) {
    if (options.json) return print_json({{"written", false}, {"file", path}, {"text", unit.text}});
    std::printf("# %s\n%s", path.c_str(), unit.text.c_str());
    return;
  }
  std::vector<const schedule::Served*> all;
  for (const schedule::Served& file : files) all.push_back(&file);
  std::vector<std::string> notes;
  add_zone_note(files, notes);
  const auto installed = schedule::install_unit(workspace, unit, options.force);
  schedule::take_up(workspace, database, files, all, calendar::now_seconds());
  print_unit_result(options, installed, unit.name, notes);
}

void install(const Options& options, const Context& context) {
  util::set_up_log(context.verbose);
  const Workspace workspace = find_workspace(options, context);
  if (options.systemd) {
    install_systemd(options, workspace);
  } else if (options.remove) {
    remove_crontab(options, workspace);
  } else {
    install_crontab(options, workspace, context);
  }
}

}  // namespace

std::string program_here(const Workspace& workspace, const Context& context) {
  const auto found = Workspace::find(".");
  if (context.workspace.empty() && found && found->root() == workspace.root()) return "mlops";
  const std::string near =
      std::filesystem::path(workspace.root()).lexically_proximate(std::filesystem::current_path()).string();
  return "mlops -w " + util::shell_quote(near.starts_with("..") ? workspace.root() : near);
}

void add_install_command(CLI::App& schedule, Context& context) {
  auto options = std::make_shared<Options>();
  auto* app = schedule.add_subcommand("install", "let the system's cron or systemd start what is due");
  app->add_option("FILE", options->files, "pipeline files (default: those that are served already)");
  auto* where = app->add_option_group("where");
  where->add_flag("--crontab", options->crontab, "a block in the user's crontab");
  where->add_flag("--systemd", options->systemd, "a service of the user's systemd, which runs the daemon");
  where->require_option(1);
  app->add_flag("--lines", options->lines,
                "in the crontab, a line for each entry, not one that looks every minute")
      ->excludes("--systemd");
  app->add_flag("--reboot", options->reboot, "in the crontab, a line that starts the daemon with the machine")
      ->excludes("--systemd")
      ->excludes("--lines");
  app->add_option("--env", options->variables, "hand on this variable, with the value that it has here")
      ->type_name("NAME")
      ->take_all()
      ->expected(1);
  app->add_flag("--no-path", options->no_path, "do not hand on PATH");
  app->add_option("--name", options->name, "name of the unit (default: mlops-FOLDER)")
      ->type_name("NAME")
      ->excludes("--crontab");
  app->add_flag("--print", options->print, "show what would be written, and write nothing");
  app->add_flag("--remove", options->remove, "take away what was installed");
  app->add_flag("--force", options->force, "also where somebody has edited it by hand");
  app->add_flag("--json", options->json, "print JSON");
  app->footer(
      "Examples:\n"
      "  mlops schedule install --crontab pipeline.yaml\n"
      "  mlops schedule install --systemd pipeline.yaml\n"
      "  mlops schedule install --crontab --lines --print pipeline.yaml\n"
      "  mlops schedule install --crontab --remove");
  app->callback([options, &context] { install(*options, context); });
}

}  // namespace mlops::cli
