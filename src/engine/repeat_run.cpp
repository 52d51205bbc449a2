// A run that is recorded as the one before it, see engine/repeat.hpp.
#include <mlops/run.hpp>

#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/kept_record.hpp"
#include "engine/new_directory.hpp"
#include "engine/recovery.hpp"
#include "engine/repeat.hpp"
#include "engine/resources.hpp"
#include "engine/run_bell.hpp"
#include "engine/run_start.hpp"
#include "notify/outbox.hpp"
#include "pipeline/dvc/load.hpp"
#include "pipeline/source.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/time.hpp"
#include "workspace/environment.hpp"
#include "workspace/layout.hpp"

#include <sys/stat.h>

namespace mlops {

namespace {

// A pipe can be read but once, and not by a look.
bool is_regular(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

// What the run before was asked for, to be asked again; null if that cannot be read.
Json settings_of(const std::string& directory, const RunSettings& settings, int jobs) {
  Json asked;
  try {
    asked = Json::parse(util::read_file(layout::in(directory, layout::settings)), nullptr, false);
  } catch (const Error&) {
    return nullptr;
  }
  if (!asked.is_object()) return nullptr;
  asked["jobs"] = jobs;
  asked["keep_going"] = settings.keep_going;
  asked["fence"] = settings.slot ? settings.slot->fence : 0;
  if (settings.keep_inputs) asked["keep_inputs"] = to_string(*settings.keep_inputs);
  return asked;
}

void make_directory(const std::string& directory, const std::string& source, const Json& asked,
                    const std::string& params) {
  util::make_directories(layout::in(directory, layout::logs));
  util::make_directories(layout::in(directory, layout::files));
  util::write_file(layout::in(directory, layout::definition), source);
  util::write_file(layout::in(directory, layout::settings),
                   asked.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  util::write_file(layout::in(directory, layout::params), params);
}

std::optional<std::string> text_of(const std::string& path) {
  try {
    return util::read_file(path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// As much of the pipeline as observers ask for.
Pipeline sketch(const std::string& file, const RunRecord& run, const std::vector<StepRecord>& steps) {
  Pipeline pipeline;
  pipeline.name = run.pipeline;
  pipeline.file = file;
  pipeline.directory = pipeline::directory_of_source(file);
  pipeline.steps.resize(steps.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    pipeline.steps[i].name = steps[i].name;
    pipeline.steps[i].kind = steps[i].kind;
  }
  return pipeline;
}

void tell(const std::string& file, const std::string& directory, const RunRecord& run,
          db::Connection& connection, const RunResult& result, const std::vector<RunObserver*>& observers) {
  if (observers.empty()) return;
  const std::vector<StepRecord> steps = db::steps_of(connection, run.id);
  const Pipeline pipeline = sketch(file, run, steps);
  Plan plan;
  for (const StepRecord& step : steps) plan.steps.push_back({step.step, true, {}});
  const std::map<std::string, std::int64_t> nothing_takes_time;
  const RunView view{pipeline, plan, run.id, directory, run.jobs, run.steps, false, nothing_takes_time};
  for (RunObserver* observer : observers) {
    observer->run_began(view);
    for (const StepRecord& step : steps) observer->step_ended(step);
    observer->run_ended(result);
  }
}

}  // namespace

std::optional<RunResult> repeat_run(const Workspace& workspace, const std::string& file,
                                    const LoadOptions& options, const RunSettings& settings,
                                    const std::vector<RunObserver*>& observers) {
  if (!engine::may_repeat(settings) || pipeline::dvc::is_dvc_file(file) || !is_regular(file))
    return std::nullopt;
  if (!util::is_directory(layout::in(workspace.state_directory(), layout::repeats)) || !workspace.trusted())
    return std::nullopt;
  const std::int64_t began_ms = util::monotonic_ms();
  const std::string source = pipeline::read_source(file);
  const auto repeat = engine::find_repeat(workspace, file, engine::repeat_key(source, file, options));
  if (!repeat || !util::exists(workspace.database_path())) return std::nullopt;
  db::Database database = db::Database::open(workspace.database_path());
  db::Connection& connection = database.connection();
  const std::optional<RunRecord> before = db::find_run(connection, repeat->run);
  if (!before || before->state != RunState::succeeded) return std::nullopt;
  const int jobs = settings.jobs > 0 ? settings.jobs : engine::machine_capacity().jobs;
  const std::string earlier = workspace.run_directory(before->id);
  const Json asked = settings_of(earlier, settings, jobs);
  const std::optional<std::string> params = text_of(layout::in(earlier, layout::params));
  if (asked.is_null() || !params) return std::nullopt;

  // Before the transaction: git may take its time, and others wait for it.
  const auto git = workspace::git_state(pipeline::directory_of_source(file));
  RunRecord run = engine::new_run(settings, jobs);
  run.pipeline = before->pipeline;
  run.file = before->file;
  run.definition = before->definition;
  run.steps = before->steps;
  RunResult result;
  result.id = run.id;
  result.state = RunState::succeeded;
  result.exit_code = ExitCode::done;
  const std::string directory = workspace.run_directory(run.id);
  const engine::NewDirectory made(directory, database, run.id);
  {
    db::Transaction transaction(database, db::Durability::full);
    if (settings.slot) engine::start_claim(connection, *settings.slot, run.created_at);
    db::insert_run(connection, run, source, db::params_of(connection, before->id),
                   workspace::environment_names());
    if (!db::copy_cached_steps(connection, before->id, run.id, run.steps)) return std::nullopt;
    if (git) db::set_git_state(connection, run.id, git->commit, git->dirty);
    make_directory(directory, source, asked, *params);
    result.duration_ms = util::monotonic_ms() - began_ms;
    db::finish_run(connection, run.id, result.state, "", static_cast<int>(result.exit_code), util::now(),
                   result.duration_ms);
    notify::tell_end(connection, engine::frozen_addressees(asked), run.id);
    transaction.commit();
  }
  engine::keep_repeat(workspace, connection, run.id, before->id);
  engine::warn_of_forgotten_run(workspace, connection);
  engine::ring_end(workspace, connection, run.id);
  util::log_debug("nothing has changed since run " + before->id);
  tell(file, directory, run, connection, result, observers);
  return result;
}

}  // namespace mlops
