#include <mlops/run.hpp>

#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "cli/plan.hpp"
#include "cli/progress.hpp"
#include "cli/stop_within.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "db/steps.hpp"
#include "engine/resources.hpp"
#include "notify/delivery.hpp"
#include "notify/outbox.hpp"
#include "pipeline/source.hpp"
#include "process/keeper.hpp"
#include "process/stand_in.hpp"
#include "schedule/backfills.hpp"
#include "schedule/ledger.hpp"
#include "schedule/requests.hpp"
#include "schedule/waits.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <chrono>
#include <cstdio>
#include <memory>

namespace mlops::cli {

namespace {

constexpr int longest_delivery_ms = 5'000;  // that the end of a run waits for

struct RunOptions {
  std::string file;
  std::string resume;
  LoadOptions load;
  RunSettings settings;
  std::string output = "live";
  bool quiet = false;
  std::chrono::milliseconds stop_within{8'000};  // as process 1
  bool dry_run = false;
  bool json = false;
  bool propagate_exit_code = false;
  std::string slot;                // now, or a time
  std::int64_t claimed = 0;        // by the daemon or a worker
  std::string slot_local, entry;   // the slot that is run, and of which entry
  std::optional<int> concurrency;  // of the pipeline, as the request has it
};

nlohmann::json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
}

nlohmann::json result_json(const RunResult& result, const Workspace& workspace, const RunOptions& options) {
  nlohmann::json json = {{"id", result.id},
                         {"state", to_string(result.state)},
                         {"reason", result.reason},
                         {"exit_code", static_cast<int>(result.exit_code)},
                         {"duration_ms", result.duration_ms},
                         {"slot", text_or_null(options.slot_local)},
                         {"schedule", text_or_null(options.entry)},
                         {"directory", workspace.run_directory(result.id)},
                         {"steps", nlohmann::json::array()},
                         {"metrics", nlohmann::json::object()}};
  db::Database database = db::Database::open_to_read(workspace.database_path());
  for (const StepRecord& step : db::steps_of(database.connection(), result.id))
    json["steps"].push_back(to_json(step));
  for (const MetricRecord& metric : db::metrics_of(database.connection(), result.id)) {
    json["metrics"][metric.name] = metric.value ? nlohmann::json(*metric.value) : nlohmann::json(nullptr);
  }
  return json;
}

// Commands find a workspace above the working directory; one elsewhere has to be named.
std::string workspace_option(const Workspace& workspace, const Context& context) {
  const auto found = Workspace::find(".", "");
  if (found && found->root() == workspace.root()) return {};
  return "-w " + util::shell_quote(context.workspace.empty() ? workspace.root() : context.workspace) + " ";
}

OutputMode output_mode(const RunOptions& options) {
  if (options.json || options.output == "none") return OutputMode::none;
  if (options.quiet) return OutputMode::quiet;
  return options.output == "failed" ? OutputMode::failed : OutputMode::live;
}

// A run goes on as it was started: what would change it has no place beside --resume.
void refuse_with_resume(const CLI::App& app) {
  for (const char* name : {"--set", "--only", "--from", "--until", "--skip", "--keep-going", "--force",
                           "--no-cache", "--dry-run", "--trace-reads", "--keep-inputs", "--slot"}) {
    if (app.count(name) == 0) continue;
    throw Error(ExitCode::usage,
                std::string(name) +
                    " has no place beside --resume: a run goes on with the params and the selection "
                    "that it was started with",
                "start a new run for other ones: mlops run FILE " + std::string(name) + " …");
  }
}

// The workspace of the file, and its database, to claim something in.
OpenWorkspace open_for(const std::string& directory, const Context& context) {
  bool created = false;
  Workspace workspace = Workspace::find_or_create(directory, context.workspace, created);
  workspace.check_owner();
  // A ledger that begins anew knows of no slot that has run.
  require_database(workspace);
  db::Database database = db::Database::open(workspace.database_path());
  return {std::move(workspace), std::move(database)};
}

// On record, for those who wonder why a run that was claimed does not begin.
class WaitNote : public RunObserver {
 public:
  explicit WaitNote(const Workspace& workspace, std::int64_t fence) : workspace_(workspace), fence_(fence) {}

  void note(const std::string& text) override {
    if (!text.starts_with(db::wait_word)) return;
    try {
      db::Database database = db::Database::open(workspace_.database_path());
      schedule::note_waits(database, {{fence_, text}});
    } catch (const Error& error) {
      util::log_debug(std::string("it is not on record that the run waits: ") + error.what());
    }
  }

 private:
  const Workspace& workspace_;
  std::int64_t fence_;
};

// The slot is ours, and waits for its turn. Returns why it is not to begin any more, if so.
std::string begin_slot(OpenWorkspace& open, const schedule::Claimed& claimed, RunOptions& options,
                       Progress& progress) {
  options.settings.slot = claimed.claim;
  options.slot_local = claimed.local;
  options.entry = claimed.entry;
  options.load.slot = schedule::Ledger(open.workspace, open.database).values_of(claimed);
  const std::string words = "the slot " + claimed.local + " of " + shown(claimed.entry);
  progress.set_slot(words);
  return schedule::make_way(open.workspace, open.database, claimed, [&](const std::string& text) {
    if (!options.json) progress.note(words + ": " + text);
  });
}

// The claim that the daemon or a worker made for this run, of a slot or of a request.
void take_claim_over(RunOptions& options, const Context& context, Progress& progress) {
  OpenWorkspace open = open_for(pipeline::directory_of_source(options.file), context);
  schedule::Requests requests(open.workspace, open.database);
  if (const auto claimed = requests.take_over(options.claimed)) {
    options.settings.slot = claimed->claim;
    options.concurrency = claimed->request.concurrency;
    if (const auto why = schedule::Backfills(open.workspace, open.database).refusal(claimed->request))
      throw Error(ExitCode::overlap, "the slot is not run again: " + *why, "see `mlops schedule audit`");
    schedule::RequestOptions asked = schedule::options_of(claimed->request);
    options.load.overrides = std::move(asked.overrides);
    options.load.slot = std::move(asked.slot);
    return;
  }
  schedule::Ledger ledger(open.workspace, open.database);
  const auto claimed = ledger.take_over(options.claimed, calendar::now_seconds());
  if (!claimed)
    throw Error(ExitCode::overlap, "the claim " + std::to_string(options.claimed) + " is not valid any more",
                "see `mlops schedule audit` and `mlops queue list`");
  if (const std::string why = begin_slot(open, *claimed, options, progress); !why.empty())
    throw Error(ExitCode::overlap, "the slot " + claimed->local + " is not run: " + why,
                "see `mlops schedule audit`");
}

// Of the run that has the slot or is in the way; null: there is none, or it has not begun.
nlohmann::json run_state_json(db::Connection& connection, const schedule::Answer& answer) {
  if (answer.run_id.empty()) return nullptr;
  if (const auto state = db::state_of_run(connection, answer.run_id)) return to_string(*state);
  return answer.deleted ? nlohmann::json("deleted") : nlohmann::json(nullptr);
}

// The slot of the file's schedule that the run is for. False: it is not ours, which was said.
bool claim_slot(RunOptions& options, const Context& context, Progress& progress) {
  pipeline::require_lasting(options.file);
  const Pipeline pipeline = load_pipeline(options.file, options.load);
  OpenWorkspace open = open_for(pipeline.directory, context);
  schedule::Ledger ledger(open.workspace, open.database);
  schedule::Answer answer = ledger.claim(
      pipeline, options.slot == "now" ? std::nullopt : std::optional(options.slot), calendar::now_seconds());
  if (answer.claimed) {
    answer.refusal = begin_slot(open, *answer.claimed, options, progress);
    if (answer.refusal.empty()) return true;
  }
  if (options.json) {
    print_json({{"slot", answer.local},
                {"schedule", answer.entry},
                {"claimed", false},
                {"reason", answer.refusal},
                {"run", answer.run_id},
                {"run_state", run_state_json(open.database.connection(), answer)}});
  } else if (!options.quiet) {
    // In a crontab each line but one would say it, each time: the ledger has it.
    std::fprintf(stderr, "mlops: the slot %s of %s %s is not run: %s\n", answer.local.c_str(),
                 pipeline.name.c_str(), shown(answer.entry).c_str(), in_one_line(answer.refusal).c_str());
  }
  return false;
}

// A run of which is known without reading the file that nothing is left to do in it.
std::optional<RunResult> repeat(const RunOptions& options, const Context& context,
                                std::unique_ptr<Workspace>& workspace, Progress& progress,
                                const std::vector<RunObserver*>& observers) {
  if (options.dry_run) return std::nullopt;
  const auto found = Workspace::find(pipeline::directory_of_source(options.file), context.workspace);
  if (!found) return std::nullopt;
  progress.set_workspace_option(workspace_option(*found, context));
  auto result = repeat_run(*found, options.file, options.load, options.settings, observers);
  if (result) workspace = std::make_unique<Workspace>(*found);
  return result;
}

std::string file_hint(const RunOptions& options) {
  // `--force` takes the word after it for a step.
  if (!options.settings.forced.empty() && util::exists(options.settings.forced.back()))
    return "give the file first: mlops run " + options.settings.forced.back() + " --force";
  return options.file.empty() && util::exists("pipeline.yaml") ? "did you mean `mlops run pipeline.yaml`?"
                                                               : "mlops run FILE, or mlops run --resume RUN";
}

// A claim that leads to no run is given back, with the reason.
void give_back(const RunOptions& options, const Context& context, const std::string& why) {
  if (!options.settings.slot) return;
  try {
    const auto workspace = Workspace::find(pipeline::directory_of_source(options.file), context.workspace);
    if (!workspace) return;
    db::Database database = db::Database::open(workspace->database_path());
    schedule::Ledger(*workspace, database).reject(options.settings.slot->fence, why);
    schedule::Requests(*workspace, database).reject(options.settings.slot->fence, why);
  } catch (const Error&) {
    // Whoever asks next takes it over.
  }
}

// Nobody may be looking when a run for a slot cannot begin. Somebody else's run is no failure.
void tell_not_begun(const RunOptions& options, const Context& context, const std::exception& why) {
  const auto* error = dynamic_cast<const Error*>(&why);
  if (!options.settings.slot || (error && error->code() == ExitCode::overlap)) return;
  try {
    const Pipeline pipeline =
        load_pipeline(options.file, {.overrides = options.load.overrides, .check_files = false});
    const auto workspace = Workspace::find(pipeline.directory, context.workspace);
    if (!workspace) return;
    db::Database database = db::Database::open(workspace->database_path());
    notify::tell_not_begun(database, pipeline, options.settings.slot->run_id, why.what());
    notify::deliver_at_end(*workspace, {}, 0);
  } catch (const Error&) {
    // Who is to be told stands in a file that cannot be read.
  }
}

int run_claimed(RunOptions& options, const Context& context, const CLI::App& app);

int run(RunOptions& options, const Context& context, const CLI::App& app) {
  try {
    return run_claimed(options, context, app);
  } catch (const std::exception& error) {
    tell_not_begun(options, context, error);
    give_back(options, context, error.what());
    throw;
  }
}

// Only a DVC project may have no steps: its files may all be about metrics and plots.
int tell_nothing_to_run(const RunOptions& options, const Pipeline& pipeline) {
  if (options.json) {
    print_json({{"pipeline", pipeline.name}, {"run", nullptr}, {"steps", nlohmann::json::array()}});
  } else if (!options.quiet) {
    std::printf("nothing to run: %s has no stages, nor has any other dvc.yaml of its project\n",
                shown(pipeline.file).c_str());
  }
  return 0;
}

int run_claimed(RunOptions& options, const Context& context, const CLI::App& app) {
  util::set_up_log(context.verbose);
  if (options.file.empty() == options.resume.empty()) {
    throw Error(ExitCode::usage,
                options.file.empty() ? "no pipeline file given"
                                     : "--resume continues a run as it was started; it takes no file",
                file_hint(options));
  }
  if (!options.resume.empty()) refuse_with_resume(app);
  // First of all, while this process is small and has neither threads nor a database.
  process::KeeperProcess keeper;
  if (!options.dry_run) keeper = process::fork_keeper();

  for (const std::string& argument : context.arguments) {
    options.settings.command_line +=
        (options.settings.command_line.empty() ? "" : " ") + util::shell_quote(argument);
  }
  // What --quiet says is what went wrong.
  Progress progress(options.quiet ? stderr : stdout, output_mode(options),
                    can_redraw(stdout) && !options.json && !options.quiet);
  std::vector<RunObserver*> observers;
  if (!options.json) observers.push_back(&progress);

  if (options.claimed > 0) {
    take_claim_over(options, context, progress);
  } else if (!options.slot.empty()) {
    if (!claim_slot(options, context, progress)) return static_cast<int>(ExitCode::overlap);
  }
  RunResult result;
  std::unique_ptr<Workspace> workspace;
  if (!options.resume.empty()) {
    std::string id;
    {
      OpenWorkspace open = open_to_write(context);
      id = find_run_id(open, options.resume);
      workspace = std::make_unique<Workspace>(open.workspace);
    }
    progress.set_workspace_option(workspace_option(*workspace, context));
    result = resume_run(*workspace, id, options.settings.jobs, std::move(keeper), observers,
                        [&](const std::string& text) {
                          if (options.json) return;
                          if (options.quiet) return progress.note(text);
                          std::printf("%s\n", text.c_str()), std::fflush(stdout);
                        });
  } else if (auto repeated = repeat(options, context, workspace, progress, observers)) {
    result = std::move(*repeated);
  } else {
    const Pipeline pipeline = load_pipeline(options.file, options.load);
    if (pipeline.steps.empty() && !options.settings.slot) return tell_nothing_to_run(options, pipeline);
    if (options.concurrency.value_or(pipeline.concurrency) != pipeline.concurrency) {
      OpenWorkspace open = open_for(pipeline.directory, context);
      schedule::Requests(open.workspace, open.database).adopt(pipeline);
    }
    const Graph graph = make_graph(pipeline);
    const Plan plan = make_plan(pipeline, graph, options.settings.selection);
    require_steps(pipeline, options.settings.forced, "--force");
    engine::require_possible(pipeline, plan);
    if (options.dry_run) {
      const auto plan_seen =
          engine::foresee(pipeline, graph, plan, Workspace::find(pipeline.directory, context.workspace),
                          engine::cache_settings(options.settings));
      if (options.json) {
        print_json(plan_json(pipeline, graph, plan_seen));
      } else {
        print_plan(pipeline, graph, plan_seen, true);
      }
      return 0;
    }
    bool created = false;
    workspace = std::make_unique<Workspace>(
        Workspace::find_or_create(pipeline.directory, context.workspace, created));
    if (created && !options.json && !options.quiet) {
      std::printf("made a workspace: %s\n", workspace->state_directory().c_str());
      std::fflush(stdout);
    }
    progress.set_workspace_option(workspace_option(*workspace, context));
    std::optional<WaitNote> wait_note;
    if (options.settings.slot)
      observers.push_back(&wait_note.emplace(*workspace, options.settings.slot->fence));
    result = run_plan(*workspace, pipeline, graph, plan, options.settings, std::move(keeper), observers);
  }
  if (options.json) print_json(result_json(result, *workspace, options));
  std::fflush(stdout);
  // Nobody sees what a run of the daemon's says.
  for (const std::string& problem :
       notify::deliver_at_end(*workspace, result.id, options.claimed > 0 ? 0 : longest_delivery_ms))
    std::fprintf(stderr, "mlops: %s\n", problem.c_str());
  if (options.propagate_exit_code && result.state == RunState::failed && result.failed_step_code > 0) {
    return result.failed_step_code;
  }
  return static_cast<int>(result.exit_code);
}

}  // namespace

void set_up_run(CLI::App& app, Context& context) {
  auto options = std::make_shared<RunOptions>();
  app.add_option("FILE", options->file, "pipeline file");
  app.add_option("--resume", options->resume, "continue this run: what succeeded is not repeated")
      ->type_name("RUN");
  add_set_option(app, options->load.overrides, "set a param, e.g. train.lr=0.2; +new.name=1 adds one");
  app.add_option("-j,--jobs", options->settings.jobs, "steps at a time (default: the machine's cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--only", options->settings.selection.only, "run only these steps")
      ->type_name("STEP")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  app.add_option("--from", options->settings.selection.from, "run these steps and what comes after them")
      ->type_name("STEP")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  app.add_option("--until", options->settings.selection.until, "run these steps and what they need")
      ->type_name("STEP")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  app.add_option("--skip", options->settings.selection.skip, "leave these steps out")
      ->type_name("STEP")
      ->delimiter(',')
      ->expected(1)
      ->take_all();
  app.add_flag("-k,--keep-going", options->settings.keep_going,
               "after a failure, go on with what does not depend on it");
  app.add_option_function<std::vector<std::string>>(
         "--force",
         [options](const std::vector<std::string>& steps) {
           for (const std::string& step : steps) {
             if (step.empty() || step == "{}") {
               options->settings.force_all = true;
             } else {
               options->settings.forced.push_back(step);
             }
           }
         },
         "run these steps (without STEP: all), also when nothing has changed")
      ->type_name("STEP")
      ->delimiter(',')
      ->expected(0, 1)
      ->take_all();
  app.add_flag("!--no-cache", options->settings.use_cache, "take no results of earlier runs and keep none");
  app.add_flag("--trace-reads", options->settings.trace_reads,
               "find files that steps read or write without declaring them");
  app.add_option_function<std::string>(
         "--keep-inputs",
         [options](const std::string& word) { options->settings.keep_inputs = parse_keep_inputs(word); },
         "keep inputs that no step makes, for reproduce: small, all or none")
      ->type_name("WHICH")
      ->check(CLI::IsMember({"small", "all", "none"}));
  auto* dry_run = app.add_flag("-n,--dry-run", options->dry_run, "print the plan and run nothing");
  app.add_option("--slot", options->slot,
                 "run a slot of the file's schedule, the last one (now) or that of TIME, unless it was run "
                 "before: then exit "
                 "with 75")
      ->type_name("now|TIME")
      ->check(not_empty)
      ->excludes(dry_run);
  auto* output = app.add_option("--output", options->output,
                                "steps' output: live, failed (last lines of steps that fail) or none")
                     ->type_name("MODE")
                     ->check(CLI::IsMember({"live", "failed", "none"}));
  app.add_flag("-q,--quiet", options->quiet, "print only what went wrong: nothing of a run that succeeds")
      ->excludes(output);
  app.add_flag("--propagate-exit-code", options->propagate_exit_code,
               "when a step fails, exit with its exit code");
  add_stop_within(app, options->stop_within, "steps");
  app.add_option("--claimed", options->claimed)->group("");  // the daemon's own
  app.add_flag("--json", options->json, "print only the result, as JSON");
  app.footer(
      "Exits with 0 when done, 1 when a step failed, 2 for a bad file or usage, 3 when a gate said no, 124 "
      "after a\n"
      "time-out, 130 or 143 when interrupted.\n"
      "Examples:\n"
      "  mlops run pipeline.yaml\n"
      "  mlops run pipeline.yaml --set train.lr=0.2 --jobs 4\n"
      "  mlops run pipeline.yaml --from train --dry-run\n"
      "  mlops run --resume latest\n"
      "Crontab line:\n"
      "  0 3 * * *  cd /srv/churn && mlops run pipeline.yaml --quiet\n"
      "  0 3 * * *  cd /srv/churn && mlops run pipeline.yaml --slot now --quiet   # each slot once, on the "
      "record");
  app.callback([options, &context, &app] {
    const auto ended = process::stand_in(options->stop_within);
    context.exit_code = ended ? *ended : run(*options, context, app);
  });
}

}  // namespace mlops::cli
