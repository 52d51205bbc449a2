#include "cli/slots.hpp"

#include <mlops/slots.hpp>

#include "calendar/instants.hpp"
#include "cli/output.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "db/triggers.hpp"
#include "process/lock_file.hpp"
#include "schedule/bell.hpp"
#include "schedule/known.hpp"
#include "schedule/ledger.hpp"
#include "triggers/events.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <cstdio>
#include <map>

namespace mlops::cli {

namespace {

using calendar::sys_seconds;
using schedule::Known;

struct Options {
  std::string file;
  std::string last = "30d";
  std::string why;
  std::string outcome;
  std::string note;
  int limit = 100;
  bool json = false;
};

// Those of a file or of a pipeline; all if `what` is empty.
std::vector<Known> find_schedules(OpenWorkspace& open, const std::string& what, bool may_be_none = false) {
  std::vector<Known> result;
  std::vector<std::string> names;
  const std::string file = what.empty() ? "" : open.workspace.relative(what);
  for (Known& known : schedule::known_schedules(open.workspace, open.database.connection())) {
    names.push_back(known.record.file);
    if (what.empty() || known.record.file == file || known.record.pipeline == what)
      result.push_back(std::move(known));
  }
  if (result.empty() && !what.empty() && !may_be_none) {
    throw Error(ExitCode::usage, "the ledger has no schedule of '" + what + "'",
                names.empty() ? "a schedule is taken up with `mlops run FILE --slot now`"
                              : util::did_you_mean(what, names));
  }
  return result;
}

std::string state_of(const ScheduleRecord& record) {
  if (record.removed_at) return "removed";
  if (!record.problem.empty()) return "broken";
  if (record.paused_at) return "paused";
  return record.served ? "on" : "by hand";
}

std::string late_words(const SlotRecord& slot) {
  return slot.late_ms ? util::format_duration(std::chrono::milliseconds(*slot.late_ms)) : "";
}

std::string slot_words(const SlotRecord& slot) {
  return slot.slots == 1 ? slot.local : slot.local + " and " + std::to_string(slot.slots - 1) + " more";
}

nlohmann::json slot_json(const SlotRecord& slot, const ScheduleRecord& record) {
  return {{"pipeline", record.pipeline},
          {"file", record.file},
          {"schedule", record.name},
          {"slot", slot.local},
          {"slots", slot.slots},
          {"outcome", to_string(slot.outcome)},
          {"reason", slot.reason},
          {"run", slot.run_id},
          {"late_ms", slot.late_ms ? nlohmann::json(*slot.late_ms) : nlohmann::json(nullptr)},
          {"fence", slot.fence ? nlohmann::json(*slot.fence) : nlohmann::json(nullptr)},
          {"decided_at", time_json(slot.decided_at)}};
}

void list(const Options& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  const std::vector<Known> all = find_schedules(open, options.file);
  const sys_seconds now = calendar::now_seconds();
  nlohmann::json json = nlohmann::json::array();
  std::vector<schedule::Promise> promises;
  Table table({"FILE", "SCHEDULE", "TIMES", "STATE", "NEXT", "LAST"});
  for (const Known& known : all) {
    const ScheduleRecord& record = known.record;
    std::string next, times = known.timetable ? times_of(known.timetable->entry) : "";
    if (known.timetable && !record.removed_at) {
      const auto at = calendar::next_fire(known.timetable->rule, now);
      next = at ? known.timetable->text(*at) : "never";
    }
    const auto last = db::list_slots(open.database.connection(),
                                     {.schedule = record.id, .since = {}, .outcome = {}, .limit = 1});
    nlohmann::json promised = nlohmann::json::array();
    if (known.timetable) {
      for (schedule::Standing& standing : schedule::standings_of(open.workspace, open.database.connection(),
                                                                 record, *known.timetable, now)) {
        promised.push_back(to_json(standing));
        promises.push_back({record, std::move(standing)});
      }
    }
    const std::string ended = last.empty() ? "" : last.back().local + " " + to_string(last.back().outcome);
    if (options.json) {
      json.push_back({{"file", record.file},
                      {"pipeline", record.pipeline},
                      {"schedule", record.name},
                      {"times", times},
                      {"state", state_of(record)},
                      {"note", record.paused_at ? record.pause_note : record.problem},
                      {"next", next},
                      {"promises", std::move(promised)},
                      {"last", last.empty() ? nlohmann::json(nullptr) : slot_json(last.back(), record)}});
    } else {
      table.add({record.file, record.name, times, state_of(record), next, ended});
    }
  }
  if (options.json) return print_json({{"schedules", std::move(json)}});
  if (all.empty()) {
    std::fprintf(stderr, "no schedule is in the ledger yet; `mlops run FILE --slot now` takes one up\n");
    return;
  }
  table.print(stdout);
  const bool daemon =
      process::LockFile::is_locked(layout::in(open.workspace.state_directory(), layout::daemon_lock));
  std::printf("%s\n",
              daemon
                  ? "a daemon serves them"
                  : "no daemon runs just now: slots are run by `mlops run --slot` and `mlops daemon --once`");
  for (const schedule::Promise& promise : promises) print_promise(promise);
  for (const Known& known : all) {
    const std::string note = known.record.paused_at ? known.record.pause_note : known.record.problem;
    if (!note.empty())
      std::printf("%s %s: %s\n", known.record.file.c_str(), known.record.name.c_str(), note.c_str());
  }
}

std::optional<sys_seconds> since(const Options& options) {
  if (options.last == "all") return std::nullopt;
  const auto span = util::parse_duration(options.last);
  if (!span)
    throw Error(ExitCode::usage, "cannot read --last '" + options.last + "'", "such as 30d, 12h, or all");
  return calendar::now_seconds() - std::chrono::ceil<std::chrono::seconds>(*span);
}

// The slots of a schedule from `since` on that have no row: there are none, unless the database was tampered
// with.
std::int64_t holes(const Known& known, const std::vector<SlotRecord>& slots,
                   std::optional<sys_seconds> since) {
  if (!known.timetable || known.record.removed_at) return 0;
  std::int64_t missing = 0;
  std::size_t next = 0;
  sys_seconds from = known.record.since;
  if (since) from = std::max(from, *since);
  for (auto at = calendar::next_fire(known.timetable->rule, from); at && *at <= known.record.cursor;
       at = calendar::next_fire(known.timetable->rule, *at)) {
    while (next < slots.size() && slots[next].until < *at) ++next;
    if (next == slots.size() || slots[next].at > *at) ++missing;
  }
  return missing;
}

void print_why(const SlotRecord& slot, const ScheduleRecord& record, db::Connection& connection) {
  const Style style = style_of(stdout);
  std::printf("%s  %s %s: %s\n", style.bold(slot_words(slot)).c_str(), record.pipeline.c_str(),
              record.name.c_str(), to_string(slot.outcome));
  if (!slot.reason.empty()) std::printf("  %s\n", slot.reason.c_str());
  if (slot.outcome == SlotOutcome::ran) {
    const auto run = db::find_run(connection, slot.run_id);
    std::printf("  run %s%s%s, begun %s after its time\n", slot.run_id.c_str(), run ? " " : "",
                run ? to_string(run->state) : " (deleted)", late_words(slot).c_str());
  }
  std::printf("  decided at %s\n", util::format_local(slot.decided_at).c_str());
}

// By the beginning of the slot or of its time of day; a time that clocks skip has a space in place of the T.
bool is_meant(std::string slot, std::string words) {
  std::ranges::replace(slot, ' ', 'T');
  std::ranges::replace(words, ' ', 'T');
  return slot.starts_with(words) || slot.find("T" + words) != slot.npos;
}

void audit(const Options& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  const auto from = since(options);
  std::optional<SlotOutcome> only;
  if (!options.outcome.empty()) {
    only = parse_slot_outcome(options.outcome);
    if (!only)
      throw Error(ExitCode::usage, "there is no outcome '" + options.outcome + "'",
                  "ran, skipped, coalesced, missed, paused, superseded, rejected, gap or claimed");
  }
  struct Line {
    SlotRecord slot;
    const Known* known;
  };
  std::vector<Line> lines;
  std::map<SlotOutcome, std::int64_t> counts;
  std::int64_t missing = 0;
  const std::vector<Known> all = find_schedules(open, options.file);
  for (const Known& known : all) {
    const auto slots =
        db::list_slots(connection, {.schedule = known.record.id, .since = from, .outcome = {}});
    missing += holes(known, slots, from);
    for (const SlotRecord& slot : slots) {
      counts[slot.outcome] += slot.slots;
      if (only && slot.outcome != *only) continue;
      if (!options.why.empty() && !is_meant(slot.local, options.why)) continue;
      lines.push_back({slot, &known});
    }
  }
  std::ranges::stable_sort(lines, {}, [](const Line& line) { return line.slot.at; });
  if (!options.why.empty()) {
    if (lines.empty())
      throw Error(ExitCode::usage, "no slot of the ledger begins with '" + options.why + "'",
                  "`mlops schedule audit` lists them; --last all looks further back");
    if (!options.json) {
      for (const Line& line : lines) print_why(line.slot, line.known->record, connection);
      return;
    }
  }
  const std::size_t left_out = options.limit > 0 && lines.size() > static_cast<std::size_t>(options.limit)
                                   ? lines.size() - static_cast<std::size_t>(options.limit)
                                   : 0;
  if (options.json) {
    nlohmann::json list = nlohmann::json::array(), summary = nlohmann::json::object();
    for (std::size_t i = left_out; i < lines.size(); ++i)
      list.push_back(slot_json(lines[i].slot, lines[i].known->record));
    for (const auto& [outcome, count] : counts) summary[to_string(outcome)] = count;
    return print_json({{"slots", std::move(list)},
                       {"summary", std::move(summary)},
                       {"without_outcome", missing},
                       {"left_out", left_out}});
  }
  Table table({"SLOT", "PIPELINE", "SCHEDULE", "OUTCOME", "RUN", "LATE", "REASON"});
  table.right_align(5);
  for (std::size_t i = left_out; i < lines.size(); ++i) {
    const SlotRecord& slot = lines[i].slot;
    table.add({slot_words(slot), lines[i].known->record.pipeline, lines[i].known->record.name,
               to_string(slot.outcome), slot.run_id, late_words(slot), slot.reason});
  }
  if (lines.size() > left_out) table.print(stdout);
  std::string words;
  for (const auto& [outcome, count] : counts)
    words += (words.empty() ? "" : ", ") + std::to_string(count) + " " + to_string(outcome);
  if (left_out > 0) std::printf("%zu older ones are not shown (--limit 0 shows all)\n", left_out);
  std::printf("%s\n", words.empty() ? "no slot has been due yet" : words.c_str());
  if (missing > 0)
    std::printf("%lld slots have no outcome: the database was changed by something else\n",
                static_cast<long long>(missing));
}

void set_paused(const Options& options, const Context& context, bool paused) {
  OpenWorkspace open = open_to_write(context);
  schedule::Ledger ledger(open.workspace, open.database);
  for (const Known& known : find_schedules(open, options.file)) {
    if (known.record.removed_at) continue;
    const schedule::Timetable* timetable = known.timetable ? &*known.timetable : nullptr;
    const std::string what = known.record.pipeline + " " + known.record.name;
    if (paused) {
      ledger.pause(known.record, timetable, options.note, calendar::now_seconds());
      std::printf("paused %s: its slots are not run until `mlops schedule resume %s`\n", what.c_str(),
                  options.file.c_str());
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
  for (const std::string& file : files) {
    const Pipeline pipeline = load_pipeline(file, {.overrides = {}, .check_files = true});
    if (pipeline.schedules.empty() && pipeline.triggers.empty())
      throw Error(ExitCode::usage, "'" + file + "' has neither a schedule nor triggers",
                  "such as  schedule: \"0 3 * * *\"  for every day at 03:00");
    bool created = false;
    const Workspace workspace = Workspace::find_or_create(pipeline.directory, context.workspace, created);
    workspace.check_owner();
    db::Database database = db::Database::open(workspace.database_path());
    pipeline::Zones zones;
    const auto timetables = schedule::timetables(pipeline, zones);
    schedule::Ledger(workspace, database).adopt(pipeline, timetables, calendar::now_seconds(), true);
    const auto others = triggers::Events(workspace, database).adopt(pipeline, true);
    schedule::ring(workspace, layout::daemon_bell);
    for (const schedule::Timetable& timetable : timetables) {
      const auto next = calendar::next_fire(timetable.rule, calendar::now_seconds());
      std::printf("serving %s %s: %s, next at %s\n", pipeline.name.c_str(), timetable.entry.name.c_str(),
                  times_of(timetable.entry).c_str(), next ? timetable.text(*next).c_str() : "no time");
    }
    for (const TriggerRecord& trigger : others)
      std::printf("serving %s %s: %s\n", pipeline.name.c_str(), trigger.name.c_str(), trigger.kind.c_str());
    const bool daemon =
        process::LockFile::is_locked(layout::in(workspace.state_directory(), layout::daemon_lock));
    if (!daemon) std::printf("no daemon runs: start one with `mlops daemon`\n");
  }
}

void unserve(const Options& options, const Context& context) {
  OpenWorkspace open = open_to_write(context);
  bool any = false;
  for (const TriggerRecord& record : db::triggers(open.database.connection())) {
    if (record.file != open.workspace.relative(options.file) && record.pipeline != options.file) continue;
    any = true;
    triggers::Events(open.workspace, open.database).serve(record, false);
    std::printf("%s %s is not served any more; its events stay on record\n", record.pipeline.c_str(),
                record.name.c_str());
  }
  for (const Known& known : find_schedules(open, options.file, any)) {
    schedule::Ledger(open.workspace, open.database).serve(known.record, false);
    std::printf("%s %s is not served any more; what became of its slots stays on record\n",
                known.record.pipeline.c_str(), known.record.name.c_str());
  }
  schedule::ring(open.workspace, layout::daemon_bell);
}

}  // namespace

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
  auto options = std::make_shared<Options>();
  auto files = std::make_shared<std::vector<std::string>>();
  auto* add = app.add_subcommand("add", "let the daemon serve the schedules and triggers of pipeline files");
  add->add_option("FILE", *files, "pipeline files")->required();
  add->callback([files, &context] { serve(*files, context); });
  auto* remove = app.add_subcommand("remove", "let the daemon serve a pipeline no more");
  remove->add_option("FILE", options->file, "a pipeline file, or pipeline")->required();
  remove->callback([options, &context] { unserve(*options, context); });
  auto* all =
      app.add_subcommand("list", "list the schedules of the ledger, what comes next and what was last");
  all->add_option("FILE", options->file, "only those of this pipeline file, or pipeline");
  all->add_flag("--json", options->json, "print JSON");
  all->callback([options, &context] { list(*options, context); });

  auto* slots = app.add_subcommand("audit", "tell what became of each time at which a pipeline was to run");
  slots->add_option("FILE", options->file, "only those of this pipeline file, or pipeline");
  slots->add_option("--last", options->last, "how far back, such as 12h, or all (default 30d)")
      ->type_name("DURATION");
  slots
      ->add_option(
          "--why", options->why,
          "only slots that begin with this, such as 2026-03-29T02 or 02:30, each with all that is known")
      ->type_name("SLOT");
  slots->add_option("--outcome", options->outcome, "only these: ran, skipped, coalesced, missed, …")
      ->type_name("OUTCOME");
  slots->add_option("--limit", options->limit, "the newest so many (default 100; 0: all)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  slots->add_flag("--json", options->json, "print JSON");
  slots->footer(
      "Examples:\n  mlops schedule audit pipeline.yaml --last 7d\n"
      "  mlops schedule audit --outcome missed --json\n"
      "  mlops schedule audit pipeline.yaml --why 2026-03-29T02");
  slots->callback([options, &context] { audit(*options, context); });

  auto* pause = app.add_subcommand("pause", "run no slot of a pipeline until it is resumed");
  pause->add_option("FILE", options->file, "a pipeline file, or pipeline")->required();
  pause->add_option("--note", options->note, "why, for those who wonder")->type_name("TEXT");
  pause->callback([options, &context] { set_paused(*options, context, true); });
  auto* resume = app.add_subcommand("resume", "run slots again, from the next one on");
  resume->add_option("FILE", options->file, "a pipeline file, or pipeline")->required();
  resume->callback([options, &context] { set_paused(*options, context, false); });
}

}  // namespace mlops::cli
