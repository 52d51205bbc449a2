#include "schedule/install.hpp"

#include "calendar/instants.hpp"
#include "cli/install.hpp"
#include "cli/output.hpp"
#include "cli/slots.hpp"
#include "db/triggers.hpp"
#include "process/lock_file.hpp"
#include "schedule/bell.hpp"
#include "schedule/crontab.hpp"
#include "schedule/installed.hpp"
#include "schedule/user_crontab.hpp"
#include "triggers/events.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>

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

// Those that are named, else all that are served already: by the ledger, or by a line of their own.
std::vector<schedule::Served> load_files(const Options& options, const Workspace& workspace,
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

void install_crontab(const Options& options, const Workspace& workspace, const Context& context) {
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
void remove_files(const Options& options, const Workspace& workspace, const std::vector<std::string>& block) {
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

/// What becomes of schedules of which the system's cron or systemd was told no more.
struct Remaining {
  std::vector<std::string> on;       ///< what the ledger lets a daemon serve
  std::vector<std::string> by_hand;  ///< what had a line of its own, and nothing else
  std::vector<std::string> starters;
};

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

void remove_crontab(const Options& options, const Workspace& workspace) {
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

int print_install(const Options& options, const schedule::InstalledUnit& unit, const std::string& name,
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

void print_removal(const Options& options, const Workspace& workspace, const schedule::InstalledUnit& unit,
                   const std::string& name) {
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
  print_remaining(rest, options.print);
}

// The one that is asked for, else the one that is there, else one that is called as the workspace is.
std::string name_of_unit(const Options& options, const Workspace& workspace) {
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

void remove_systemd(const Options& options, const Workspace& workspace, const std::string& file) {
  if (!options.files.empty())
    throw Error(ExitCode::usage, "the unit serves the workspace, not '" + options.files[0] + "' alone",
                "`mlops schedule remove " + options.files[0] + "` takes a file away from it");
  if (options.print) {
    std::printf("%s\n", schedule::user_unit_path(file).c_str());
    return;
  }
  print_removal(options, workspace, schedule::remove_unit(workspace, file, options.force), file);
}

int install_systemd(const Options& options, const Workspace& workspace) {
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

void install(const Options& options, Context& context) {
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
