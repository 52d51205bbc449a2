#include <mlops/run.hpp>
#include <mlops/version.hpp>

#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/aftermath.hpp"
#include "engine/claims.hpp"
#include "engine/collect.hpp"
#include "engine/event_file.hpp"
#include "engine/kept_record.hpp"
#include "engine/machine.hpp"
#include "engine/new_directory.hpp"
#include "engine/outcome.hpp"
#include "engine/recorder.hpp"
#include "engine/recovery.hpp"
#include "engine/repeat.hpp"
#include "engine/results.hpp"
#include "engine/run_bell.hpp"
#include "engine/run_start.hpp"
#include "engine/runner.hpp"
#include "notify/addressee.hpp"
#include "params/overrides.hpp"
#include "pipeline/conditions.hpp"
#include "process/identity.hpp"
#include "process/lock_file.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"
#include "workspace/layout.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

namespace mlops {

namespace {

using engine::Entry;

Json addressees_json(const Pipeline& pipeline) {
  Json list = Json::array();
  for (const notify::Addressee& addressee : notify::addressees_of(pipeline))
    list.push_back(notify::to_json(addressee));
  return list;
}

Json settings_json(const Pipeline& pipeline, const RunSettings& settings, int jobs) {
  return {{"file", util::absolute_path(pipeline.file)},
          {"overrides", pipeline.overrides},
          {"slot", pipeline.uses_slot && pipeline.slot ? to_json(*pipeline.slot) : Json()},
          {"selection",
           {{"only", settings.selection.only},
            {"from", settings.selection.from},
            {"until", settings.selection.until},
            {"skip", settings.selection.skip}}},
          {"jobs", jobs},
          {"keep_going", settings.keep_going},
          {"use_cache", settings.use_cache},
          {"force_all", settings.force_all},
          {"forced", settings.forced},
          {"trace_reads", settings.trace_reads},
          {"fence", settings.slot ? settings.slot->fence : 0},
          {"keep_inputs", to_string(settings.keep_inputs.value_or(pipeline.keep_inputs))},
          {"notify", addressees_json(pipeline)},
          {"sources", pipeline.dvc ? Json(pipeline.dvc->sources) : Json()},
          {"environment", engine::referenced_environment(pipeline.source)}};
}

std::vector<char> selected_steps(const Plan& plan) {
  std::vector<char> selected(plan.steps.size());
  for (const PlannedStep& planned : plan.steps)
    selected[static_cast<std::size_t>(planned.step)] = planned.selected;
  return selected;
}

KeepInputs inputs_to_keep(const Pipeline& pipeline, const RunSettings& settings) {
  return settings.use_cache ? settings.keep_inputs.value_or(pipeline.keep_inputs) : KeepInputs::none;
}

// Values that selected steps read from steps which are left out: those of their last success.
void add_earlier_outputs(engine::OutputValues& outputs, db::Connection& connection, const Pipeline& pipeline,
                         const Plan& plan) {
  std::set<std::string> read;
  const pipeline::Conditions conditions(pipeline);
  for (const PlannedStep& planned : plan.steps) {
    if (!planned.selected) continue;
    const Step& step = pipeline.steps[static_cast<std::size_t>(planned.step)];
    const auto scan = [&](const Text& text) {
      for (const Text::Part& part : text.parts) {
        if (!part.step.empty()) read.insert(part.step);
      }
    };
    for (const Text& argument : step.command.argv) scan(argument);
    for (const auto& [name, text] : step.env) scan(text);
    if (step.when.empty()) continue;
    const params::Condition condition = conditions.parse(step);
    for (const params::ConditionName& name : condition.names()) read.insert(name.step);
  }
  for (const PlannedStep& planned : plan.steps) {
    const Step& step = pipeline.steps[static_cast<std::size_t>(planned.step)];
    if (planned.selected || !read.contains(step.name)) continue;
    for (auto& [name, value] : db::last_outputs(connection, pipeline.name, step.name)) {
      outputs[step.name].try_emplace(name, std::move(value));
    }
  }
}

// What is on record of the params, in order of their names.
std::vector<std::pair<std::string, std::string>> leaves_of(const Pipeline& pipeline) {
  std::vector<std::pair<std::string, std::string>> leaves;
  const auto add = [&](const std::string& name, std::string value) {
    leaves.emplace_back(name, std::move(value));
  };
  if (pipeline.uses_slot) params::for_each_leaf(to_json(*pipeline.slot), "slot", add);
  params::for_each_leaf(pipeline.params, "", add);
  std::ranges::sort(leaves);
  return leaves;
}

void write_params(const std::string& directory, const Pipeline& pipeline) {
  util::write_file(layout::in(directory, layout::params),
                   pipeline.params.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

// The run's directory with its frozen definition; everything a later resume needs.
void prepare_directory(const std::string& directory, const Pipeline& pipeline, const Json& settings) {
  util::make_directories(directory + "/" + layout::logs);
  util::make_directories(directory + "/" + layout::files);
  util::write_file(layout::in(directory, layout::definition), pipeline.source);
  util::write_file(layout::in(directory, layout::settings),
                   settings.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  write_params(directory, pipeline);
}

// What steps read has to be whole on a resume, too: after a power loss it may not be.
void mend_directory(const std::string& directory, const engine::FrozenRun& frozen, db::Connection& db) {
  write_params(directory, frozen.pipeline);
  if (!frozen.settings.slot) return;
  const auto event = util::read_file_if_exists(layout::in(directory, layout::event));
  if (!Json::accept(event.value_or(""))) engine::keep_event(db, frozen.settings.slot->fence, directory);
}

// Empty: the attempt was not traced.
std::string trace_left_by(const std::string& run_directory, const std::string& step, int attempt) {
  const std::string path = layout::trace_file(run_directory, step, attempt);
  return util::exists(path) ? path : std::string();
}

// What was recovered as succeeded has not had its outputs read yet: whoever only looks at runs is not to wait
// for that.
void read_recovered_outputs(const Workspace& workspace, db::Database& database, const std::string& id,
                            const Pipeline& pipeline, const std::vector<StepRecord>& records, bool keep) {
  std::set<int> known;
  std::map<int, std::vector<engine::FileFact>> read;
  for (const ArtifactRecord& a : db::artifacts_of(database.connection(), id)) {
    if (a.output) {
      known.insert(a.step);
    } else {
      read[a.step].push_back({a.path, a.form, a.sha256, a.size, a.files});
    }
  }
  engine::Recorder recorder(database, id);
  std::unique_ptr<engine::Depot> depot;
  std::unique_ptr<engine::Results> results;
  const std::string run_directory = workspace.run_directory(id);
  for (const StepRecord& record : records) {
    const Step& step = pipeline.steps[static_cast<std::size_t>(record.step)];
    if (record.state != StepState::succeeded || !engine::makes_results(step, pipeline) ||
        known.contains(record.step))
      continue;
    if (!depot) {
      depot = std::make_unique<engine::Depot>(workspace);
      results = engine::make_results(pipeline, workspace, *depot, {});
    }
    const std::string step_directory = engine::step_directory(pipeline, step);
    const std::string changed = pipeline.dvc ? ""
                                             : engine::changed_input(read[record.step], step, step_directory,
                                                                     workspace, depot->snapshots);
    const engine::CollectJob job{record.step,
                                 record.attempts,
                                 true,
                                 step_directory,
                                 layout::metrics_file(run_directory, step.name, record.attempts),
                                 layout::output_file(run_directory, step.name, record.attempts),
                                 keep && step.cache != false,
                                 changed.empty() ? record.cache_key.value_or("") : "",
                                 trace_left_by(run_directory, step.name, record.attempts)};
    recorder.put(results->collect(job));
  }
  recorder.flush();
}

}  // namespace

RunResult run_plan(const Workspace& workspace, const Pipeline& pipeline, const Graph& graph, const Plan& plan,
                   const RunSettings& settings, process::KeeperProcess keeper,
                   const std::vector<RunObserver*>& observers) {
  if (pipeline.uses_slot && !pipeline.slot) {
    throw Error(
        ExitCode::usage,
        "'" + pipeline.file + "' is made for a slot of its schedule (it has ${slot.…}), and none was given",
        "mlops run " + pipeline.file + " --slot now  runs the last one");
  }
  engine::require_possible(pipeline, plan);
  auto secrets = engine::resolve_secrets(pipeline, selected_steps(plan));
  workspace.check_owner();
  const bool begun_anew = engine::database_is_lost(workspace);
  if (begun_anew) {
    util::log_warning(
        "the database '" + workspace.database_path() +
        "' is gone, though earlier runs have their directories: a new one is begun, without them; to keep "
        "them, put a backup in its place");
  }
  db::Database database = db::Database::open(workspace.database_path());
  if (!begun_anew) engine::warn_of_forgotten_run(workspace, database.connection());
  const int jobs = settings.jobs > 0 ? settings.jobs : engine::machine_capacity().jobs;

  RunRecord run = engine::new_run(settings, jobs);
  const std::string directory = workspace.run_directory(run.id);
  const engine::NewDirectory made(directory, database, run.id);
  prepare_directory(directory, pipeline, settings_json(pipeline, settings, jobs));
  const auto lock = process::LockFile::try_lock(layout::in(directory, layout::runner_lock));
  if (!lock) throw Error(ExitCode::busy, "run " + run.id + " is locked by another process");
  const engine::OutputClaim claim(workspace, run.id, engine::outputs_made_by(pipeline, plan),
                                  [&](const std::string& text) {
                                    for (RunObserver* observer : observers) observer->note(text);
                                  });

  run.pipeline = pipeline.name;
  run.file = workspace.relative(pipeline.file);
  run.definition = util::sha256(pipeline.source);
  run.created_at = util::now();  // after what it has waited for
  run.steps = static_cast<int>(pipeline.steps.size());

  engine::RunParts parts{.workspace = workspace,
                         .database = database,
                         .pipeline = pipeline,
                         .graph = graph,
                         .plan = plan,
                         .id = run.id,
                         .run_directory = directory,
                         .secrets = std::move(secrets),
                         .jobs = jobs,
                         .keep_going = settings.keep_going,
                         .cache = engine::cache_settings(settings),
                         .fence = settings.slot ? settings.slot->fence : 0,
                         .trace_reads = settings.trace_reads,
                         .keep_inputs = inputs_to_keep(pipeline, settings)};
  if (engine::can_repeat(pipeline, plan, settings))
    parts.repeat_key = engine::repeat_key(pipeline.source, pipeline.file,
                                          {.overrides = pipeline.overrides, .slot = pipeline.slot});
  parts.entries.resize(pipeline.steps.size());
  parts.records.resize(pipeline.steps.size());
  for (const PlannedStep& planned : plan.steps) {
    const auto i = static_cast<std::size_t>(planned.step);
    if (!planned.selected) parts.entries[i] = {Entry::Kind::leave_out, 0, planned.reason, {}, {}};
    const Step& step = pipeline.steps[i];
    parts.records[i].step = planned.step;
    parts.records[i].name = step.name;
    parts.records[i].kind = step.kind;
  }
  {
    const auto leaves = leaves_of(pipeline);
    db::Transaction transaction(database, settings.slot ? db::Durability::full : db::Durability::normal);
    db::Connection& connection = database.connection();
    if (settings.slot) {
      engine::start_claim(connection, *settings.slot, run.created_at);
      engine::keep_event(connection, settings.slot->fence, directory);
    }
    db::insert_run(connection, run, pipeline.source, leaves, workspace::environment_names());
    for (std::size_t i = 0; i < parts.records.size(); ++i) {
      StepRecord record = parts.records[i];
      record.command = engine::command_text(pipeline.steps[i]);
      db::insert_step(connection, run.id, record);
    }
    transaction.commit();
  }
  parts.usual_ms = db::usual_durations_ms(database.connection(), pipeline.name);
  add_earlier_outputs(parts.outputs, database.connection(), pipeline, plan);
  return engine::Runner(std::move(parts), std::move(keeper), observers).run();
}

RunResult resume_run(const Workspace& workspace, const std::string& id, int jobs,
                     process::KeeperProcess keeper, const std::vector<RunObserver*>& observers,
                     const std::function<void(const std::string&)>& say) {
  workspace.check_owner();
  const std::string directory = workspace.run_directory(id);
  if (!util::is_directory(directory)) {
    throw Error(
        ExitCode::usage,
        "cannot resume run " + id + ": only its record is here, its directory is gone or never was here",
        "start a new run: steps whose results are here are not run again");
  }
  auto lock = process::LockFile::try_lock(layout::in(directory, layout::runner_lock));
  if (!lock) {
    throw Error(ExitCode::busy, "run " + id + " is still running",
                "follow it with `mlops logs " + id + " --follow`, or end it with `mlops cancel " + id + "`");
  }
  const int stopped_by = engine::wait_for_keeper(directory, say);

  db::Database database = db::Database::open(workspace.database_path());
  engine::recover_run(workspace, database, id);
  const std::optional<RunRecord> run = db::find_run(database.connection(), id);
  if (!run) throw Error(ExitCode::usage, "there is no run " + id);
  if (stopped_by != 0) {
    throw Error(stopped_by == SIGINT ? ExitCode::interrupted : ExitCode::terminated,
                "run " + id + " was not resumed: " + engine::signal_name(stopped_by) +
                    " received while waiting for its steps",
                "continue with `mlops run --resume " + id + "`");
  }
  if (run->state == RunState::succeeded) {
    throw Error(ExitCode::usage, "run " + id + " has succeeded: nothing is left to resume",
                "start a new run: mlops run " + run->file);
  }
  const engine::FrozenRun frozen = engine::load_frozen(workspace, database.connection(), id);
  if (leaves_of(frozen.pipeline) != db::params_of(database.connection(), id)) {
    throw Error(
        ExitCode::io,
        "cannot resume run " + id + ": by '" + layout::in(directory, layout::settings) +
            "' it has other params than those on record",
        "that file has been changed or damaged: start a new run; steps whose results are here are not "
        "run again");
  }
  if (const std::string& file = frozen.pipeline.file;
      util::exists(file) && util::read_file(file) != frozen.pipeline.source) {
    say(run->file + " has changed since run " + id +
        " began, which goes on with what it said then; for the new one: mlops run " + run->file);
  }
  const Graph graph = make_graph(frozen.pipeline);
  const Plan plan = make_plan(frozen.pipeline, graph, frozen.settings.selection);
  engine::require_possible(frozen.pipeline, plan);
  auto secrets = engine::resolve_secrets(frozen.pipeline, selected_steps(plan));
  const engine::OutputClaim claim(workspace, id, engine::outputs_made_by(frozen.pipeline, plan), say);
  if (jobs <= 0) jobs = frozen.settings.jobs;

  engine::RunParts parts{.workspace = workspace,
                         .database = database,
                         .pipeline = frozen.pipeline,
                         .graph = graph,
                         .plan = plan,
                         .id = id,
                         .run_directory = directory,
                         .secrets = std::move(secrets),
                         .jobs = jobs,
                         .keep_going = frozen.settings.keep_going,
                         .resumed = true,
                         .cache = engine::cache_settings(frozen.settings),
                         .environment = frozen.environment,
                         .fence = frozen.settings.slot ? frozen.settings.slot->fence : 0,
                         .trace_reads = frozen.settings.trace_reads,
                         .keep_inputs = inputs_to_keep(frozen.pipeline, frozen.settings)};
  parts.records = db::steps_of(database.connection(), id);
  parts.entries.resize(frozen.pipeline.steps.size());
  if (parts.records.size() != parts.entries.size()) {
    throw Error(ExitCode::io,
                "cannot resume run " + id + ": the database and the frozen definition do not agree");
  }
  mend_directory(directory, frozen, database.connection());
  read_recovered_outputs(workspace, database, id, frozen.pipeline, parts.records, parts.cache.keep);
  engine::keep_record(workspace, database.connection(), id);  // what was read is part of it
  const auto attempts = db::attempts_of(database.connection(), id);
  for (const PlannedStep& planned : plan.steps) {
    const auto i = static_cast<std::size_t>(planned.step);
    StepRecord& record = parts.records[i];
    Entry& entry = parts.entries[i];
    entry =
        engine::entry_on_resume(frozen.pipeline.steps[i], planned, record, attempts, run->part_started_at);
    if (entry.kind == Entry::Kind::run) {
      record.state = StepState::pending;
      record.reason.clear();
      record.started_at.reset();
      record.ended_at.reset();
    }
  }
  for (const MetricRecord& metric : db::metrics_of(database.connection(), id)) {
    parts.metrics[metric.step].push_back({metric.name, 0, metric.value, std::nullopt});
  }
  for (const db::StepOutput& output : db::step_outputs_of(database.connection(), id)) {
    parts.outputs[parts.records[static_cast<std::size_t>(output.step)].name][output.name] = output.value;
  }
  {
    db::Transaction transaction(database);
    db::reopen_run(database.connection(), id, ::getpid(), process::boot_id(), jobs);
    for (const StepRecord& record : parts.records) {
      if (record.state == StepState::pending) db::update_step(database.connection(), id, record);
    }
    transaction.commit();
  }
  parts.usual_ms = db::usual_durations_ms(database.connection(), frozen.pipeline.name);
  add_earlier_outputs(parts.outputs, database.connection(), frozen.pipeline, plan);
  return engine::Runner(std::move(parts), std::move(keeper), observers).run();
}

}  // namespace mlops
