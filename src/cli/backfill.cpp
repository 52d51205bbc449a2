#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/queue.hpp"
#include "daemon/worker.hpp"
#include "db/backfills.hpp"
#include "db/slots.hpp"
#include "engine/recovery.hpp"
#include "engine/resources.hpp"
#include "pipeline/source.hpp"
#include "schedule/backfills.hpp"
#include "schedule/known.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/config.hpp"

#include <algorithm>
#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

using schedule::BackfillPlan;
using schedule::Backfills;

struct BackfillOptions {
  std::string file, entry, from, to;
  LoadOptions load;
  std::vector<std::string> only;
  std::string order = "oldest";
  std::int64_t id = 0;
  int jobs = 0;
  bool force = false, dry_run = false, detach = false, quiet = false, json = false;
};

schedule::BackfillChoice choice_of(const BackfillOptions& options) {
  schedule::BackfillChoice choice;
  choice.jobs = std::max(1, options.jobs);
  choice.newest_first = options.order == "newest";
  if (!options.only.empty()) choice.only.clear();
  for (const std::string& word : options.only) {
    if (const auto state = parse_slot_state(word)) choice.only.insert(*state);
  }
  if (options.force)
    choice.only = {SlotState::missing, SlotState::failed, SlotState::stale, SlotState::fresh};
  return choice;
}

nlohmann::json milliseconds_json(const std::optional<Milliseconds>& time) {
  return time ? nlohmann::json(time->count()) : nlohmann::json(nullptr);
}

nlohmann::json plan_json(const Pipeline& pipeline, const std::string& entry, const BackfillPlan& plan,
                         int jobs) {
  nlohmann::json slots = nlohmann::json::array(), summary = nlohmann::json::object();
  for (const schedule::PlannedSlot& slot : plan.slots) {
    slots.push_back({{"slot", slot.local},
                     {"state", to_string(slot.state)},
                     {"run", slot.run_id},
                     {"reason", util::to_utf8(slot.reason)},
                     {"chosen", slot.chosen}});
  }
  for (const auto& [state, count] : plan.counts) summary[to_string(state)] = count;
  return {{"pipeline", pipeline.name},
          {"schedule", entry},
          {"slots", std::move(slots)},
          {"summary", std::move(summary)},
          {"runs", plan.order.size()},
          {"jobs", jobs},
          {"each_ms", milliseconds_json(plan.each)},
          {"total_ms", milliseconds_json(plan.total)}};
}

void print_slots(const BackfillPlan& plan) {
  Table table({"SLOT", "STATE", "TO DO", "RUN", "REASON"});
  for (const schedule::PlannedSlot& slot : plan.slots)
    table.add(
        {slot.local, to_string(slot.state), slot.chosen ? "run" : "", slot.run_id, in_one_line(slot.reason)});
  table.print(stdout);
}

void print_summary(const Pipeline& pipeline, const std::string& entry, const BackfillPlan& plan,
                   const BackfillOptions& options) {
  std::string words;
  for (const auto& [state, count] : plan.counts)
    words += (words.empty() ? "" : ", ") + std::to_string(count) + " " + to_string(state);
  std::printf("%s of %s %s: %s\n", counted(plan.slots.size(), "slot").c_str(), pipeline.name.c_str(),
              shown(entry).c_str(), words.c_str());
  if (plan.order.empty()) return;
  std::string cost = "nobody knows how long: no run of it has succeeded yet";
  if (plan.each)
    cost =
        "about " + util::format_duration(*plan.total) + " (" + util::format_duration(*plan.each) + " each)";
  std::printf("%s, %d at a time, the %s first: %s\n", counted(plan.order.size(), "run").c_str(),
              std::max(1, options.jobs), options.order.c_str(), cost.c_str());
  if (!pipeline.uses_slot && plan.order.size() > 1)
    util::log_warning("nothing in '" + pipeline.file +
                      "' is made of ${slot.…}: each of these runs does the same, whatever its slot");
}

nlohmann::json progress_json(const schedule::BackfillProgress& p) {
  return {{"slots", p.slots},   {"waiting", p.waiting},     {"running", p.running}, {"done", p.done},
          {"failed", p.failed}, {"cancelled", p.cancelled}, {"deleted", p.deleted}};
}

std::string state_of(const BackfillRecord& backfill, const schedule::BackfillProgress& progress) {
  if (progress.is_over() && backfill.state != BackfillState::cancelled)
    return progress.failed > 0 ? "failed" : "done";
  return to_string(backfill.state);
}

std::string state_of(const BackfillSlot& slot) {
  if (slot.asked != RequestState::started) return to_string(slot.asked);
  return slot.run ? to_string(*slot.run) : "deleted";
}

std::string progress_words(const schedule::BackfillProgress& p) {
  std::string words;
  for (const auto& [count, what] : {std::pair(p.done, "done"), std::pair(p.failed, "failed"),
                                    std::pair(p.running, "running"), std::pair(p.waiting, "waiting"),
                                    std::pair(p.cancelled, "cancelled"), std::pair(p.deleted, "deleted")}) {
    if (count > 0) words += (words.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  }
  return words;
}

nlohmann::json backfill_json(const BackfillRecord& b, const schedule::BackfillProgress& progress) {
  return {{"id", b.id},
          {"pipeline", b.pipeline},
          {"schedule", b.entry},
          {"file", util::to_utf8(b.file)},
          {"state", state_of(b, progress)},
          {"from", time_json(Instant(b.from))},
          {"to", time_json(Instant(b.to))},
          {"jobs", b.jobs},
          {"set", b.overrides},
          {"created_at", time_json(b.created_at)},
          {"created_by", b.created_by},
          {"progress", progress_json(progress)}};
}

void print_backfill_json(const BackfillRecord& backfill, const std::vector<BackfillSlot>& slots) {
  nlohmann::json json = backfill_json(backfill, schedule::progress_of(slots)), list = nlohmann::json::array();
  for (const BackfillSlot& slot : slots) {
    list.push_back(
        {{"slot", slot.local},
         {"was", to_string(slot.was)},
         {"state", state_of(slot)},
         {"request", slot.request},
         {"run", slot.run_id},
         {"reason", util::to_utf8(slot.reason)},
         {"duration_ms", slot.duration_ms ? nlohmann::json(*slot.duration_ms) : nlohmann::json(nullptr)}});
  }
  json["slots"] = std::move(list);
  print_json(json);
}

// As clocks of this machine show it.
std::string here(Instant at) {
  pipeline::Zones zones;
  return calendar::to_text(std::chrono::floor<std::chrono::seconds>(at), *zones.get(""));
}

// From and to, as clocks of the schedule's zone show them.
std::pair<std::string, std::string> span_of(const BackfillRecord& backfill, OpenWorkspace& open,
                                            pipeline::Zones& zones) {
  const auto record = db::find_schedule(open.database.connection(), backfill.schedule);
  const auto known = record ? schedule::known_of(open.workspace, *record, zones).timetable : std::nullopt;
  if (!known) return {here(backfill.from), here(backfill.to)};
  return {known->text(backfill.from), known->text(backfill.to)};
}

void list(const BackfillOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  nlohmann::json json = nlohmann::json::array();
  pipeline::Zones zones;
  Table table({"ID", "PIPELINE", "SCHEDULE", "FROM", "TO", "STATE", "PROGRESS"});
  table.right_align(0);
  for (const BackfillRecord& b : db::backfills(connection)) {
    const auto progress = schedule::progress_of(db::slots_of_backfill(connection, b.id));
    json.push_back(backfill_json(b, progress));
    const auto [from, to] = span_of(b, open, zones);
    table.add({std::to_string(b.id), shown(b.pipeline), shown(b.entry), from, to, state_of(b, progress),
               progress_words(progress)});
  }
  if (options.json) return print_json({{"backfills", std::move(json)}});
  if (table.rows() == 0) {
    std::fprintf(stderr, "there are no backfills yet; `mlops backfill FILE --from TIME` begins one\n");
  } else {
    table.print(stdout);
  }
}

void show(const BackfillOptions& options, const Context& context) {
  OpenWorkspace open = open_to_read(context);
  const BackfillRecord b = Backfills(open.workspace, open.database).get(options.id);
  const std::vector<BackfillSlot> slots = db::slots_of_backfill(open.database.connection(), b.id);
  if (options.json) return print_backfill_json(b, slots);
  const auto progress = schedule::progress_of(slots);
  std::printf("%s  %s %s  %s\n", style_of(stdout).bold("backfill " + std::to_string(b.id)).c_str(),
              shown(b.pipeline).c_str(), shown(b.entry).c_str(), state_of(b, progress).c_str());
  std::printf("  %d at a time%s, begun %s by %s\n", b.jobs,
              b.overrides.empty() ? "" : (", with " + shown(util::join(b.overrides, ", "))).c_str(),
              here(b.created_at).c_str(), shown(b.created_by).c_str());
  Table table({"SLOT", "WAS", "STATE", "RUN", "TOOK", "REASON"});
  table.right_align(4);
  for (const BackfillSlot& slot : slots) {
    table.add({slot.local, to_string(slot.was), state_of(slot), slot.run_id,
               slot.duration_ms ? util::format_duration(Milliseconds(*slot.duration_ms)) : "",
               in_one_line(slot.reason)});
  }
  table.print(stdout);
  std::printf("%s: %s\n", counted(slots.size(), "slot").c_str(), progress_words(progress).c_str());
}

// Runs what is left of a backfill until that is over, or a signal comes, which pauses it.
int drain(const BackfillOptions& options, const Workspace& workspace, std::int64_t id) {
  if (options.json || options.quiet)
    daemon::set_talk(options.json ? daemon::Talk::nothing : daemon::Talk::troubles);
  const auto open = [&] { return db::Database::open(workspace.database_path()); };
  int jobs = 0;
  {
    db::Database database = open();
    jobs = Backfills(workspace, database).get(id).jobs;
  }
  const daemon::WorkerSettings settings{
      .queues = {}, .runs = static_cast<std::size_t>(jobs), .once = false, .backfill = id};
  const bool whole = daemon::Worker(workspace, settings).run();
  db::Database database = open();
  Backfills backfills(workspace, database);
  if (!whole) backfills.pause(id);
  const BackfillRecord backfill = backfills.get(id);
  const std::vector<BackfillSlot> slots = db::slots_of_backfill(database.connection(), id);
  const auto progress = schedule::progress_of(slots);
  const std::string state = state_of(backfill, progress);
  if (options.json) {
    print_backfill_json(backfill, slots);
  } else if (!options.quiet || !whole || !progress.is_done()) {
    std::FILE* out = options.quiet ? stderr : stdout;  // where what went wrong is said
    for (const BackfillSlot& slot : slots) {
      if (slot.is_failed())
        std::fprintf(out, "%s %s: %s%s%s\n", slot.local.c_str(), state_of(slot).c_str(),
                     slot.run_id.empty() ? "" : "run ",
                     slot.run_id.empty() ? "" : (slot.run_id + ": ").c_str(),
                     in_one_line(slot.reason).c_str());
    }
    std::fprintf(out, "backfill %lld is %s: %s of %zu\n", static_cast<long long>(id), state.c_str(),
                 progress_words(progress).c_str(), slots.size());
    if (!progress.is_over() && backfill.state == BackfillState::paused)
      std::fprintf(out, "  go on with `mlops backfill resume %lld`\n", static_cast<long long>(id));
    if (progress.is_over() && progress.failed > 0)
      std::fprintf(out, "  the same command again runs what failed\n");
  }
  if (!whole) return static_cast<int>(ExitCode::interrupted);
  return progress.is_done() ? 0 : static_cast<int>(ExitCode::step_failed);
}

int leave(const BackfillOptions& options, const Workspace& workspace, std::int64_t id) {
  if (options.json) {
    db::Database database = db::Database::open(workspace.database_path());
    print_backfill_json(Backfills(workspace, database).get(id),
                        db::slots_of_backfill(database.connection(), id));
  } else {
    if (!options.quiet)
      std::printf("backfill %lld waits for a worker or the daemon: `mlops backfill show %lld`\n",
                  static_cast<long long>(id), static_cast<long long>(id));
    warn_if_nobody_works(workspace);
  }
  return 0;
}

BackfillPlan make_plan_of(const BackfillOptions& options, const Pipeline& pipeline,
                          const schedule::Timetable& timetable, const std::optional<Workspace>& workspace,
                          db::Database& database) {
  auto slots = schedule::slots_between(timetable, options.from, options.to, calendar::now_seconds());
  std::optional<Milliseconds> usual;
  if (workspace) {
    Backfills backfills(*workspace, database);
    backfills.recall(pipeline, timetable, slots);
    usual = backfills.usual(pipeline.name);
  }
  return schedule::plan_backfill(slots, choice_of(options), usual);
}

int look(const BackfillOptions& options, const Context& context, const Pipeline& pipeline,
         const schedule::Timetable& timetable) {
  const auto workspace = Workspace::find(pipeline.directory, context.workspace);
  const bool recorded = workspace && util::exists(workspace->database_path());
  db::Database database =
      recorded ? db::Database::open_to_read(workspace->database_path(),
                                            workspace->trusted() ? db::Access::write : db::Access::read_only)
               : db::Database::empty();
  if (recorded) engine::recover_all(*workspace, database);
  const BackfillPlan plan = make_plan_of(options, pipeline, timetable, workspace, database);
  if (options.json) {
    print_json(plan_json(pipeline, timetable.entry.name, plan, std::max(1, options.jobs)));
  } else {
    print_slots(plan);
    print_summary(pipeline, timetable.entry.name, plan, options);
  }
  return 0;
}

// Where others are at it, that is not the same as being done.
int nothing_to_run(const BackfillOptions& options, const Pipeline& pipeline, const std::string& entry,
                   const BackfillPlan& plan) {
  const auto other = std::ranges::find_if(plan.slots, [](const schedule::PlannedSlot& slot) {
    return slot.state == SlotState::waiting || slot.state == SlotState::running;
  });
  if (options.json) {
    print_json(plan_json(pipeline, entry, plan, std::max(1, options.jobs)));
  } else if (options.quiet) {
    // Neither is a fault.
  } else if (other == plan.slots.end()) {
    std::printf("nothing is left to run\n");
  } else {
    std::printf("nothing is left to run here: %s is %s%s%s\n", other->local.c_str(), to_string(other->state),
                other->state == SlotState::waiting ? " in " : "",
                other->state == SlotState::waiting ? other->reason.c_str() : "");
    std::printf(
        "  `mlops backfill list` shows what is under way, `mlops backfill resume ID` goes on with it\n");
  }
  return other == plan.slots.end() ? 0 : static_cast<int>(ExitCode::overlap);
}

int backfill(const BackfillOptions& options, const Context& context) {
  util::set_up_log(context.verbose);
  if (options.file.empty() || options.from.empty()) {
    throw Error(ExitCode::usage, options.file.empty() ? "no pipeline file given" : "no --from given",
                "such as  mlops backfill pipeline.yaml --from 2026-01-01 --to 2026-01-31");
  }
  pipeline::require_lasting(options.file);
  const Pipeline pipeline = load_pipeline(options.file, options.load);
  engine::require_possible(pipeline, make_plan(pipeline, make_graph(pipeline), {}));
  pipeline::Zones zones;
  const schedule::Timetable timetable = schedule::entry_of(pipeline, options.entry, zones);
  if (options.dry_run) return look(options, context, pipeline, timetable);

  bool created = false;
  const Workspace workspace = Workspace::find_or_create(pipeline.directory, context.workspace, created);
  workspace.check_owner();
  workspace::read_config(workspace);  // while nothing is asked for: who is to run it could not
  std::optional<std::int64_t> id;
  {
    db::Database database = db::Database::open(workspace.database_path());
    engine::recover_all(workspace, database);
    const BackfillPlan plan = make_plan_of(options, pipeline, timetable, workspace, database);
    if (!options.json && !options.quiet) print_summary(pipeline, timetable.entry.name, plan, options);
    if (plan.order.empty()) return nothing_to_run(options, pipeline, timetable.entry.name, plan);
    id = Backfills(workspace, database).begin(pipeline, timetable, plan, std::max(1, options.jobs));
    if (!id)
      return nothing_to_run(options, pipeline, timetable.entry.name,
                            make_plan_of(options, pipeline, timetable, workspace, database));
  }
  std::fflush(stdout);
  return options.detach ? leave(options, workspace, *id) : drain(options, workspace, *id);
}

int resume(const BackfillOptions& options, const Context& context) {
  const Workspace workspace = [&] {
    OpenWorkspace open = open_to_write(context);
    Backfills(open.workspace, open.database).resume(options.id, options.jobs);
    return open.workspace;
  }();
  return options.detach ? leave(options, workspace, options.id) : drain(options, workspace, options.id);
}

// Pauses or cancels one, and says what goes on all the same.
void hold(const BackfillOptions& options, const Context& context, void (Backfills::*change)(std::int64_t)) {
  OpenWorkspace open = open_to_write(context);
  Backfills backfills(open.workspace, open.database);
  backfills.get(options.id);
  const bool in_vain =
      change == &Backfills::pause &&
      schedule::progress_of(db::slots_of_backfill(open.database.connection(), options.id)).is_over();
  if (!in_vain) (backfills.*change)(options.id);
  const BackfillRecord backfill = backfills.get(options.id);
  const std::vector<BackfillSlot> slots = db::slots_of_backfill(open.database.connection(), options.id);
  if (options.json) return print_backfill_json(backfill, slots);
  const auto progress = schedule::progress_of(slots);
  if (in_vain) std::printf("nothing to pause: ");
  std::printf("backfill %lld is %s: %s of %zu\n", static_cast<long long>(options.id),
              state_of(backfill, progress).c_str(), progress_words(progress).c_str(), slots.size());
  if (progress.running > 0) std::printf("  what is running goes on; `mlops cancel RUN` ends it\n");
}

CLI::App* add_one(CLI::App& app, const char* name, const char* what,
                  const std::shared_ptr<BackfillOptions>& options) {
  auto* command = app.add_subcommand(name, what);
  command->add_option("ID", options->id, "number of the backfill")->required();
  command->add_flag("--json", options->json, "print JSON");
  command->footer("Examples:\n  mlops backfill " + std::string(name) + " 3");
  return command;
}

void add_jobs(CLI::App& app, BackfillOptions& options, const char* what) {
  app.add_option("-j,--jobs", options.jobs, what)->type_name("N")->check(CLI::Range(1, 1'000));
  app.add_flag("--detach", options.detach, "leave the runs to a worker or the daemon, and end");
  app.add_flag("-q,--quiet", options.quiet, "print only what went wrong");
}

void add_subcommands(CLI::App& app, Context& context, const std::shared_ptr<BackfillOptions>& options) {
  auto* all = app.add_subcommand("list", "list backfills");
  all->add_flag("--json", options->json, "print JSON");
  all->footer("Examples:\n  mlops backfill list\n  mlops backfill list --json");
  all->callback([options, &context] { list(*options, context); });
  add_one(app, "show", "show what became of each slot", options)->callback([options, &context] {
    show(*options, context);
  });
  add_one(app, "pause", "start nothing more of one", options)->callback([options, &context] {
    hold(*options, context, &Backfills::pause);
  });
  auto* on = add_one(app, "resume", "go on with one: what waits, and what was interrupted", options);
  add_jobs(*on, *options, "runs at a time (default: as before)");
  on->callback([options, &context] { context.exit_code = resume(*options, context); });
  add_one(app, "cancel", "let what waits of one never run", options)->callback([options, &context] {
    hold(*options, context, &Backfills::cancel);
  });
}

}  // namespace

void set_up_backfill(CLI::App& app, Context& context) {
  auto options = std::make_shared<BackfillOptions>();
  app.require_subcommand(0, 1);
  app.add_option("FILE", options->file, "pipeline file");
  app.add_option("--from", options->from, "the first slot: a day, or a time, in the zone of the schedule")
      ->type_name("TIME");
  app.add_option("--to", options->to, "the last slot; a day is meant whole (default: now)")
      ->type_name("TIME");
  app.add_option("--schedule", options->entry, "which entry of the file's schedule, if it has several")
      ->type_name("ENTRY");
  add_jobs(app, *options, "runs at a time (default 1)");
  app.add_option("--order", options->order, "which slots come first: oldest (default) or newest")
      ->type_name("WHICH")
      ->check(CLI::IsMember({"oldest", "newest"}));
  app.add_option("--only", options->only, "run only slots in these states (default: missing,failed,stale)")
      ->type_name("STATE")
      ->delimiter(',')
      ->expected(1)
      ->take_all()
      ->check(CLI::IsMember({"missing", "failed", "stale"}));
  add_set_option(app, options->load.overrides);
  app.add_flag("--force", options->force, "also slots that are fresh");
  app.add_flag("-n,--dry-run", options->dry_run, "show the slots and what it would take, and run nothing");
  app.add_flag("--json", options->json, "print JSON");
  add_subcommands(app, context, options);
  app.footer(
      "A slot is fresh if its run succeeded by what the file says now, stale if the file has changed since, "
      "failed, or\n"
      "missing. What is run comes after all live work; Ctrl-C pauses.\n"
      "Examples:\n"
      "  mlops backfill pipeline.yaml --from 2026-01-01 --to 2026-01-31 --dry-run\n"
      "  mlops backfill pipeline.yaml --from 2026-01-01 --jobs 4 --order newest\n"
      "  mlops backfill resume 3");
  app.callback([options, &app, &context] {
    if (app.get_subcommands().empty()) context.exit_code = backfill(*options, context);
  });
}

}  // namespace mlops::cli
