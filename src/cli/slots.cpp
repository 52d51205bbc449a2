#include "cli/slots.hpp"

#include <mlops/slots.hpp>

#include "calendar/instants.hpp"
#include "cli/install.hpp"
#include "cli/output.hpp"
#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "process/lock_file.hpp"
#include "schedule/bell.hpp"
#include "schedule/installed.hpp"
#include "schedule/known.hpp"
#include "schedule/ledger.hpp"
#include "triggers/events.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

namespace mlops::cli {

namespace {

using calendar::sys_seconds;
using schedule::Known;
using schedule::OwnLine;

struct SlotsOptions {
  std::string file;
  std::string note;
  bool json = false;
};

// Who asks for its slots, where the daemon does not.
const char* asker_of(OwnLine own_line) {
  switch (own_line) {
    case OwnLine::exact: return "by its crontab line";
    case OwnLine::other_times: return "by an older crontab line";
    case OwnLine::none: break;
  }
  return "by hand";
}

std::string state_of(const ScheduleRecord& record, OwnLine own_line, bool gone) {
  if (record.removed_at || gone) return "removed";
  if (!record.problem.empty()) return "broken";
  if (record.paused_at) return "paused";
  return record.served ? "on" : asker_of(own_line);
}

// One that the daemon does not serve is paused for whoever asks with --slot.
std::string state_words(const ScheduleRecord& record, OwnLine own_line, bool gone) {
  std::string state = state_of(record, own_line, gone);
  if (state == "paused" && !record.served) return asker_of(own_line) + std::string(", paused");
  if (state == "on" && own_line != OwnLine::none) state += std::string(", also ") + asker_of(own_line);
  return state;
}

// Why its slots are not run. Of an entry that is gone that is no news.
std::string note_of(const ScheduleRecord& record) {
  if (record.removed_at) return {};
  return record.paused_at ? record.pause_note : record.problem;
}

bool is_on(const Known& known) {
  const ScheduleRecord& record = known.record;
  return record.served && !record.removed_at && !record.paused_at && record.problem.empty();
}

std::string paused_hint(const std::string& file) {
  return "its slots are not run until `mlops schedule resume " + shown(util::shell_quote(file)) + "`";
}

// When files came to say otherwise than what is listed, which is what the ledger knows; a daemon reads them
// as they change.
std::map<std::string, Instant> changed_files(const Workspace& workspace, const std::vector<Known>& all) {
  std::map<std::string, std::vector<ScheduleRecord>> files;
  for (const Known& known : all) files[known.record.file].push_back(known.record);
  std::map<std::string, Instant> changed;
  for (const auto& [file, records] : files) {
    const std::string path = file.starts_with('/') ? file : workspace.root() + "/" + file;
    // One that has no schedules any more may say whatever it likes.
    if (std::ranges::all_of(records, [](const auto& record) { return record.removed_at.has_value(); }))
      continue;
    if (const auto when = schedule::changed_since_look(path, records)) changed[file] = *when;
  }
  return changed;
}

bool can_be_read(const std::string& path) {
  try {
    load_pipeline(path, {.overrides = {}, .check_files = false});
    return true;
  } catch (const Error&) {
    return false;
  }
}

void list(const SlotsOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  const std::vector<Known> all = known_schedules(open, options.file);
  const sys_seconds now = calendar::now_seconds();
  const schedule::Installed installed =
      all.empty() ? schedule::Installed{} : schedule::installed_for(open.workspace);
  const auto files_with_lines = installed.files();
  const std::set<std::string> with_lines(files_with_lines.begin(), files_with_lines.end());
  const bool daemon =
      process::LockFile::is_locked(layout::in(open.workspace.state_directory(), layout::daemon_lock));
  const auto changed = daemon ? std::map<std::string, Instant>() : changed_files(open.workspace, all);
  std::vector<std::string> old_lines, notes;
  nlohmann::json json = nlohmann::json::array();
  std::vector<schedule::Promise> promises;
  Table table({"FILE", "SCHEDULE", "TIMES", "STATE", "NEXT", "LAST"});
  for (const Known& known : all) {
    ScheduleRecord record = known.record;
    std::string next, times = known.timetable ? times_of(known.timetable->entry) : "";
    const std::string path =
        record.file.starts_with('/') ? record.file : open.workspace.root() + "/" + record.file;
    // Nobody asks for its slots any more, and nobody can.
    const bool gone = !record.served && !with_lines.contains(path) && !util::exists(path);
    if (known.timetable && !record.removed_at && !gone) {
      const auto at = calendar::next_fire(known.timetable->rule, now);
      next = at ? known.timetable->text(*at) : "never";
    }
    // Of one that the daemon does not look after, the ledger has the word of when it did.
    if (!record.served && known.timetable && !record.problem.empty() && can_be_read(path))
      record.problem.clear();
    const std::string note = gone ? "" : note_of(record);
    if (!note.empty())
      notes.push_back(shown(record.file + " " + record.name + ": ") + (record.paused_at ? "paused: " : "") +
                      in_one_line(note));
    const OwnLine own_line =
        !record.removed_at && with_lines.contains(path)
            ? installed.line_for(path, known.timetable ? &*known.timetable : nullptr, now)
            : OwnLine::none;
    if (own_line == OwnLine::other_times) old_lines.push_back(record.file);
    const auto last = db::list_slots(open.database.connection(),
                                     {.schedule = record.id, .since = {}, .until = now, .limit = 1});
    nlohmann::json promised = nlohmann::json::array();
    if (known.timetable && !gone) {
      for (schedule::Standing& standing : schedule::standings_of(open.workspace, open.database.connection(),
                                                                 record, *known.timetable, now)) {
        promised.push_back(to_json(standing));
        promises.push_back({record, std::move(standing)});
      }
    }
    std::string ended, run_state;
    if (!last.empty()) {
      run_state = run_state_of(open, last.back());
      ended = last.back().local + " " + to_string(last.back().outcome) +
              (run_state.empty() ? "" : ", " + run_state);
    }
    if (options.json) {
      json.push_back(
          {{"file", record.file},
           {"pipeline", record.pipeline},
           {"schedule", record.name},
           {"times", times},
           {"state", state_of(record, own_line, gone)},
           {"served", record.served && !record.removed_at},
           {"crontab_line", own_line != OwnLine::none},
           {"note", note},
           {"file_changed",
            changed.contains(record.file) ? time_json(changed.at(record.file)) : nlohmann::json(nullptr)},
           {"next", next},
           {"promises", std::move(promised)},
           {"last", last.empty() ? nlohmann::json(nullptr) : slot_json(last.back(), record, run_state)}});
    } else {
      table.add({record.file, record.name, times, state_words(record, own_line, gone), next, ended});
    }
  }
  const auto starters = installed.starters();
  if (options.json)
    return print_json({{"schedules", std::move(json)}, {"daemon", daemon}, {"installed", starters}});
  if (all.empty()) {
    std::fprintf(stderr, "no schedule is in the ledger yet; `mlops run FILE --slot now` takes one up\n");
    return;
  }
  table.print(stdout);
  std::printf("%s\n",
              daemon
                  ? "a daemon serves them"
                  : "no daemon runs just now: slots are run by `mlops run --slot` and `mlops daemon --once`");
  for (const auto& [file, when] : changed)
    std::printf("%s says otherwise since %s: the next look takes that up\n", shown(file).c_str(),
                util::format_local(when).c_str());
  if (!starters.empty()) {
    std::printf("what is on is started by %s\n", util::join(starters, " and ").c_str());
  } else if (!daemon && std::ranges::any_of(all, is_on)) {
    std::printf(
        "nothing is installed that starts what is on: `mlops daemon` or `mlops schedule install` does\n");
  }
  for (const std::string& file : old_lines)
    std::printf(
        "%s: its line in the crontab has other times than the file: `mlops schedule install --crontab "
        "--lines %s` writes it anew\n",
        shown(file).c_str(), shown(util::shell_quote(file)).c_str());
  for (const schedule::Promise& promise : promises) print_promise(promise);
  for (const std::string& note : notes) std::printf("%s\n", note.c_str());
}

void set_paused(const SlotsOptions& options, const Context& context, bool paused) {
  OpenWorkspace open = open_to_write(context);
  schedule::Ledger ledger(open.workspace, open.database);
  for (const Known& known : known_schedules(open, options.file)) {
    if (known.record.removed_at) continue;
    const schedule::Timetable* timetable = known.timetable ? &*known.timetable : nullptr;
    const std::string what = shown(known.record.pipeline + " " + known.record.name);
    if (paused) {
      ledger.pause(known.record, timetable, options.note, calendar::now_seconds());
      std::printf("paused %s: %s\n", what.c_str(), paused_hint(options.file).c_str());
    } else if (!known.record.paused_at) {
      std::printf("%s is not paused\n", what.c_str());
    } else {
      ledger.resume(known.record, timetable, calendar::now_seconds());
      const auto next =
          timetable ? calendar::next_fire(timetable->rule, calendar::now_seconds()) : std::nullopt;
      std::printf("resumed %s%s\n", what.c_str(),
                  next ? (": next at " + timetable->text(*next)).c_str() : "");
    }
  }
  schedule::ring(open.workspace, layout::daemon_bell);
}

void serve(const std::vector<std::string>& files, const Context& context) {
  util::set_up_log(context.verbose);
  const auto jobs = schedule::jobs_of_cron();
  for (const std::string& file : files) {
    const Pipeline pipeline = load_pipeline(file, {.overrides = {}, .check_files = true});
    if (pipeline.schedules.empty() && pipeline.triggers.empty())
      throw Error(ExitCode::usage, "'" + file + "' has neither a schedule nor triggers",
                  "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
    bool created = false;
    const Workspace workspace = Workspace::find_or_create(pipeline.directory, context.workspace, created);
    workspace.check_owner();
    db::Database database = db::Database::open(workspace.database_path());
    if (const auto other = schedule::namesake(workspace, database.connection(), pipeline))
      throw Error(ExitCode::usage,
                  "cannot serve '" + file + "': its pipeline is called '" + pipeline.name +
                      "', as that of '" + *other + "' is already",
                  "give one of them a `name:` of its own, or take the other away with `mlops schedule "
                  "remove " +
                      *other + "`");
    pipeline::Zones zones;
    const auto timetables = schedule::timetables(pipeline, zones);
    const std::vector<ScheduleRecord> records =
        schedule::Ledger(workspace, database).adopt(pipeline, timetables, calendar::now_seconds(), true);
    const auto others = triggers::Events(workspace, database).adopt(pipeline, true);
    schedule::ring(workspace, layout::daemon_bell);
    for (std::size_t i = 0; i < timetables.size(); ++i) {
      const schedule::Timetable& timetable = timetables[i];
      const auto next = calendar::next_fire(timetable.rule, calendar::now_seconds());
      const std::string when = records[i].paused_at ? "paused: " + paused_hint(file)
                                                    : "next at " + (next ? timetable.text(*next) : "no time");
      std::printf("serving %s %s: %s, %s\n", pipeline.name.c_str(), shown(timetable.entry.name).c_str(),
                  times_of(timetable.entry).c_str(), when.c_str());
    }
    for (const TriggerRecord& trigger : others)
      std::printf("serving %s %s: %s\n", pipeline.name.c_str(), shown(trigger.name).c_str(),
                  trigger.kind.c_str());
    const bool daemon =
        process::LockFile::is_locked(layout::in(workspace.state_directory(), layout::daemon_lock));
    if (!daemon) std::printf("no daemon runs: start one with `mlops daemon`\n");
    warn_of_twice(schedule::active_lines(jobs, {&pipeline}));
  }
}

void unserve(const SlotsOptions& options, const Context& context) {
  OpenWorkspace open = open_to_write(context);
  std::set<std::string> gone;
  bool any = false;
  for (const TriggerRecord& record : db::triggers(open.database.connection())) {
    if (record.file != open.workspace.relative(options.file) && record.pipeline != options.file) continue;
    any = true;
    triggers::Events(open.workspace, open.database).serve(record, false);
    std::printf("%s %s is not served any more; its events stay on record\n", record.pipeline.c_str(),
                shown(record.name).c_str());
  }
  for (const Known& known : known_schedules(open, options.file, any)) {
    schedule::Ledger(open.workspace, open.database).serve(known.record, false);
    std::printf("%s %s is not served any more; what became of its slots stays on record%s\n",
                known.record.pipeline.c_str(), shown(known.record.name).c_str(),
                known.record.paused_at && !known.record.removed_at
                    ? ("; it is paused still: " + paused_hint(options.file)).c_str()
                    : "");
    gone.insert(known.record.file);
  }
  schedule::ring(open.workspace, layout::daemon_bell);
  for (const std::string& file : schedule::installed_for(open.workspace).files()) {
    const std::string name = open.workspace.relative(file);
    if (gone.contains(name))
      std::fprintf(stderr,
                   "warning: %s has lines of its own in the crontab, which go on\n"
                   "  take them out: mlops schedule install --crontab --remove %s\n",
                   shown(name).c_str(), shown(util::shell_quote(name)).c_str());
  }
}

}  // namespace

void stop_serving(const Workspace& workspace, db::Database& database, const std::string& file) {
  const std::string known_as = workspace.relative(file);
  for (const TriggerRecord& record : db::triggers(database.connection())) {
    if (record.file == known_as) triggers::Events(workspace, database).serve(record, false);
  }
  for (const ScheduleRecord& record : db::schedules_of(database.connection(), known_as))
    schedule::Ledger(workspace, database).serve(record, false);
}

nlohmann::json to_json(const schedule::Standing& standing) {
  return {{"promise", to_string(standing.kind)}, {"state", to_string(standing.state)},
          {"due", time_json(standing.due)},      {"late_s", standing.by.count()},
          {"made_up", standing.made_up},         {"words", standing.words}};
}

void print_promise(const schedule::Promise& promise) {
  using State = schedule::Standing::State;
  const Style style = style_of(stdout);
  const schedule::Standing& standing = promise.standing;
  const std::string mark = standing.state == State::kept                          ? style.good("✔")
                           : standing.state == State::at_risk || standing.made_up ? style.warn("!")
                                                                                  : style.error("✘");
  std::printf("%s %s %s: %s\n", mark.c_str(), promise.record.pipeline.c_str(), promise.record.name.c_str(),
              standing.words.c_str());
}

void add_ledger_commands(CLI::App& app, Context& context) {
  auto options = std::make_shared<SlotsOptions>();
  auto files = std::make_shared<std::vector<std::string>>();
  auto* add = app.add_subcommand("add", "let the daemon serve the schedules and triggers of pipeline files");
  add->add_option("FILE", *files, "pipeline files")->required();
  add->footer("Examples:\n  mlops schedule add pipeline.yaml");
  add->callback([files, &context] { serve(*files, context); });
  auto* remove = app.add_subcommand("remove", "let the daemon serve a pipeline no more");
  remove->add_option("FILE", options->file, "a pipeline file, or pipeline")->required();
  remove->footer("Examples:\n  mlops schedule remove pipeline.yaml");
  remove->callback([options, &context] { unserve(*options, context); });
  auto* all =
      app.add_subcommand("list", "list the schedules of the ledger, what comes next and what was last");
  all->add_option("FILE", options->file, "only those of this pipeline file, or pipeline");
  all->add_flag("--json", options->json, "print JSON");
  all->footer("Examples:\n  mlops schedule list\n  mlops schedule list pipeline.yaml --json");
  all->callback([options, &context] { list(*options, context); });

  add_audit_command(app, context);
  auto* pause = app.add_subcommand("pause", "run no slot of a pipeline until it is resumed");
  pause->add_option("FILE", options->file, "a pipeline file, or pipeline")->required();
  pause->add_option("--note", options->note, "why, for those who wonder")->type_name("TEXT");
  pause->footer(
      "Examples:\n  mlops schedule pause pipeline.yaml\n"
      "  mlops schedule pause pipeline.yaml --note \"the source moves\"");
  pause->callback([options, &context] { set_paused(*options, context, true); });
  auto* resume = app.add_subcommand("resume", "run slots again, from the next one on");
  resume->add_option("FILE", options->file, "a pipeline file, or pipeline")->required();
  resume->footer("Examples:\n  mlops schedule resume pipeline.yaml");
  resume->callback([options, &context] { set_paused(*options, context, false); });
}

}  // namespace mlops::cli
