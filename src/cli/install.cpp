#include "cli/install.hpp"

#include "calendar/instants.hpp"
#include "cli/install_unit.hpp"
#include "cli/output.hpp"
#include "cli/slots.hpp"
#include "db/triggers.hpp"
#include "schedule/bell.hpp"
#include "schedule/crontab.hpp"
#include "schedule/installed.hpp"
#include "schedule/user_crontab.hpp"
#include "triggers/events.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

namespace mlops::cli {

namespace {

// That of the first file, else the one around here.
Workspace find_workspace(const InstallOptions& options, const Context& context) {
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

// Whether the ledger serves anything besides schedules of these files, which lines of their own may serve,
// and `triggers` of theirs.
bool serves_others(const Workspace& workspace, db::Database& database, const std::vector<std::string>& files,
                   bool triggers) {
  const auto is_other = [&](const std::string& file) {
    return std::ranges::find(files, file) == files.end();
  };
  return std::ranges::any_of(schedule::served_files(workspace, database), is_other) ||
         std::ranges::any_of(db::triggers(database.connection()), [&](const TriggerRecord& trigger) {
           return trigger.served && !trigger.removed_at &&
                  (triggers || is_other(triggers::file_of(workspace, trigger)));
         });
}

// What the lines of a block serve, where the ledger serves `all`.
std::vector<std::string> served_by(const std::vector<std::string>& lines, const std::vector<std::string>& all,
                                   const Workspace& workspace) {
  std::set<std::string> files;
  for (const std::string& file : schedule::files_of_block(lines)) files.insert(workspace.relative(file));
  if (schedule::serves_all(lines)) {
    for (const std::string& file : all) files.insert(workspace.relative(file));
  }
  return {files.begin(), files.end()};
}

void install_crontab(const InstallOptions& options, const Workspace& workspace, const Context& context) {
  db::Database database =
      options.print ? open_to_look(workspace) : db::Database::open(workspace.database_path());
  const std::string crontab = schedule::read_user_crontab();
  const auto block = schedule::read_block(crontab, workspace, options.force || options.print);
  const auto files = load_files(options, workspace, database, block);
  const auto call = schedule::call_of_this_program(workspace, options.variables, !options.no_path);
  const auto style = options.lines    ? schedule::CrontabStyle::lines
                     : options.reboot ? schedule::CrontabStyle::reboot
                                      : schedule::CrontabStyle::once;
  const bool own_zone = options.lines && schedule::crontab_has_own_zone(crontab, workspace);
  const auto clock = calendar::TimeZone::load(calendar::TimeZone::machine_name());
  auto plan =
      schedule::crontab_lines(call, style, files, own_zone ? nullptr : &clock, calendar::now_seconds());
  add_zone_note(files, plan.notes);
  std::vector<std::string> named;
  for (const schedule::Served& file : files) named.push_back(file.file);
  if (!plan.by_daemon.empty()) {
    for (const std::string& unit : schedule::units_of(workspace))
      plan.notes.push_back(unit +
                           " of your systemd runs a daemon of this workspace, too: while it does, the line "
                           "has nothing to do; `mlops schedule install --systemd --remove` takes it away");
  }
  const bool others = serves_others(workspace, database, named, true);
  const auto edit = [&](const std::vector<std::string>& lines) {
    return schedule::with_added(lines, plan, files, others);
  };
  schedule::BlockChange change;
  if (options.print) {
    change = edit(block);
  } else {
    change = schedule::edit_crontab_block(workspace, options.force, edit);
    schedule::take_up(workspace, database, files, plan.by_daemon, calendar::now_seconds());
  }
  const auto active = active_lines(files);
  auto all = schedule::served_files(workspace, database);
  for (const schedule::Served* file : plan.by_daemon) all.push_back(file->file);
  const auto served = served_by(change.lines, all, workspace);
  if (options.json)
    return print_json({{"written", !options.print},
                       {"lines", change.lines},
                       {"gone", change.gone},
                       {"serves", served},
                       {"notes", plan.notes},
                       {"twice", twice_json(active)}});
  if (!options.print) std::printf("in the crontab:\n");
  print_lines(change.lines);
  if (!change.gone.empty()) std::printf("%s\n", options.print ? "instead of:" : "and no longer:");
  print_lines(change.gone);
  if (!options.print) print_served(served);
  print_notes(plan.notes);
  warn_of_twice(active);
  if (options.print) return;
  const std::string program = program_here(workspace, context);
  std::printf("to see what becomes of its slots: %s schedule list\n", program.c_str());
  std::printf("to take it away: %s schedule install --crontab --remove\n", program.c_str());
}

// Files that are named are not served any more, by a line of their own or by one for all.
void remove_files(const InstallOptions& options, const Workspace& workspace,
                  const std::vector<std::string>& block) {
  db::Database database =
      options.print ? open_to_look(workspace) : db::Database::open(workspace.database_path());
  std::vector<std::string> files;
  for (const std::string& file : options.files) files.push_back(util::absolute_path(file));
  auto all = schedule::served_files(workspace, database);
  const auto before = served_by(block, all, workspace);
  for (const std::string& file : files) {
    if (std::ranges::find(before, workspace.relative(file)) == before.end())
      throw Error(
          ExitCode::usage,
          "the crontab does not serve '" + workspace.relative(file) + "' of '" + workspace.root() + "'",
          before.empty() ? "`crontab -l` shows what it has" : "it serves " + util::join(before, ", "));
  }
  const bool others = serves_others(workspace, database, files, false);
  const auto edit = [&](const std::vector<std::string>& lines) {
    return schedule::without_files(lines, files, others);
  };
  schedule::BlockChange change = edit(block);
  if (!options.print) {
    change = schedule::edit_crontab_block(workspace, options.force, edit);
    for (const std::string& file : files) stop_serving(workspace, database, file);
    schedule::ring(workspace, layout::daemon_bell);
  }
  std::erase_if(all, [&](const std::string& file) { return std::ranges::find(files, file) != files.end(); });
  const auto served = served_by(change.lines, all, workspace);
  if (options.json)
    return print_json(
        {{"removed", !options.print}, {"lines", change.gone}, {"left", change.lines}, {"serves", served}});
  if (change.gone.empty()) {
    std::printf("the crontab stays as it is: its line serves others, too\n");
  } else {
    std::printf("%s\n", options.print ? "would be taken out of the crontab:" : "taken out of the crontab:");
    print_lines(change.gone);
  }
  for (const std::string& file : files)
    std::printf("%s %s be served any more\n", shown(workspace.relative(file)).c_str(),
                options.print ? "would not" : "will not");
  print_served(served);
}

void remove_crontab(const InstallOptions& options, const Workspace& workspace) {
  const std::string crontab = schedule::read_user_crontab();
  if (!schedule::find_block(schedule::lines_of(crontab), workspace.root()))
    throw Error(ExitCode::usage, "the crontab has no lines of mlops for '" + workspace.root() + "'",
                "`crontab -l` shows it");
  const auto block = schedule::read_block(crontab, workspace, options.force || options.print);
  if (!options.files.empty()) return remove_files(options, workspace, block);
  if (!options.print)
    schedule::edit_crontab_block(workspace, options.force, [](const auto& lines) {
      return schedule::BlockChange{{}, lines};
    });
  Remaining rest = remaining(workspace, block);
  const auto left = schedule::Installed{{}, schedule::units_of(workspace)}.starters();
  rest.starters.insert(rest.starters.end(), left.begin(), left.end());
  if (options.json)
    return print_json({{"removed", !options.print}, {"lines", block}, {"remaining", to_json(rest)}});
  std::printf("%s\n", options.print ? "would be taken out of the crontab:" : "taken out of the crontab:");
  print_lines(block);
  print_remaining(rest, options.print);
}

void install(const InstallOptions& options, Context& context) {
  util::set_up_log(context.verbose);
  const Workspace workspace = find_workspace(options, context);
  if (options.systemd) {
    context.exit_code = install_systemd(options, workspace);
  } else if (options.remove) {
    remove_crontab(options, workspace);
  } else {
    install_crontab(options, workspace, context);
  }
}

}  // namespace

void warn_of_twice(const std::vector<schedule::ActiveLine>& lines) {
  if (lines.empty()) return;
  std::fflush(stdout);
  for (const schedule::ActiveLine& each : lines)
    std::fprintf(stderr, "warning: %s\n", words_for(each).c_str());
  std::fprintf(stderr, "  take %s out: %s\n", lines.size() == 1 ? "it" : "them",
               schedule::way_out(lines).c_str());
}

std::string program_here(const Workspace& workspace, const Context& context) {
  const auto found = Workspace::find(".");
  if (context.workspace.empty() && found && found->root() == workspace.root()) return "mlops";
  const std::string near =
      std::filesystem::path(workspace.root()).lexically_proximate(std::filesystem::current_path()).string();
  return "mlops -w " + util::shell_quote(near.starts_with("..") ? workspace.root() : near);
}

void add_install_command(CLI::App& schedule, Context& context) {
  auto options = std::make_shared<InstallOptions>();
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
  app->add_flag("--remove", options->remove, "take away what was installed; with FILE, what is there for it");
  app->add_flag("--force", options->force, "also where somebody has edited it by hand");
  app->add_flag("--json", options->json, "print JSON");
  app->footer(
      "Examples:\n"
      "  mlops schedule install --crontab pipeline.yaml\n"
      "  mlops schedule install --systemd pipeline.yaml\n"
      "  mlops schedule install --crontab --lines --print pipeline.yaml\n"
      "  mlops schedule install --crontab --remove\n"
      "  mlops schedule install --crontab --remove pipeline.yaml");
  app->callback([options, &context] { install(*options, context); });
}

}  // namespace mlops::cli
