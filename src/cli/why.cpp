#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/hidden_files.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/definition.hpp"
#include "engine/hidden.hpp"
#include "engine/recovery.hpp"
#include "engine/step_facts.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

struct WhyOptions {
  std::string what;
  std::string run = "latest";
  bool json = false;
};

// Those that declare the file `name` by the definition of the run, whether they made it or not. None where
// that is not here any more.
std::vector<std::string> declared_makers(OpenWorkspace& open, const std::string& id,
                                         const std::string& name) {
  try {
    const Pipeline pipeline = engine::load_frozen(open.workspace, open.database.connection(), id).pipeline;
    const auto makers = engine::makers_of(pipeline, util::absolute_path(name));
    if (!makers.empty() || name.starts_with('/')) return makers;
    return engine::makers_of(pipeline, util::absolute_path(open.workspace.root() + "/" + name));
  } catch (const Error&) {
    return {};
  }
}

// The steps that `name` means: one of that name, all of its expansions, or who made the file of that
// name, or was to.
std::vector<StepRecord> find_steps(OpenWorkspace& open, const std::string& id, const std::string& name) {
  db::Connection& connection = open.database.connection();
  std::vector<StepRecord> found;
  std::vector<std::string> names;
  const std::vector<StepRecord> steps = db::steps_of(connection, id);
  for (const StepRecord& step : steps) {
    names.push_back(step.name);
    if (step.name == name || step.name.substr(0, step.name.find('@')) == name) found.push_back(step);
  }
  if (!found.empty()) return found;
  const std::string path = open.workspace.relative(name);
  for (const ArtifactRecord& artifact : db::artifacts_of(connection, id)) {
    if (artifact.output && (artifact.path == path || artifact.path == name))
      found.push_back(steps[static_cast<std::size_t>(artifact.step)]);
    if (artifact.output) names.push_back(artifact.path);
  }
  if (!found.empty()) return found;
  const std::vector<std::string> makers = declared_makers(open, id, name);
  std::ranges::copy_if(steps, std::back_inserter(found), [&](const StepRecord& step) {
    return std::ranges::find(makers, step.name) != makers.end();
  });
  if (found.empty())
    throw Error(ExitCode::usage, "run " + id + " has no step or output '" + name + "'",
                util::did_you_mean(name, names));
  return found;
}

const char* verb(const StepRecord& step) {
  switch (step.state) {
    case StepState::cached: return "was not run in";
    case StepState::skipped:
    case StepState::not_run: return "did not run in";
    case StepState::pending:
    case StepState::running:
    case StepState::retrying:
    case StepState::succeeded:
    case StepState::failed:
    case StepState::lost:
    case StepState::interrupted:
    case StepState::cancelled: break;
  }
  return step.attempts > 0 ? "ran in" : "did not run in";
}

void why(const WhyOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const std::string id = find_run_id(open, options.run);
  const auto steps = find_steps(open, id, options.what);
  nlohmann::json list = nlohmann::json::array();
  const Style style = style_of(stdout);
  const auto all_hidden = db::hidden_files_of(open.database.connection(), id);
  for (const StepRecord& step : steps) {
    const auto causes = engine::parse_causes(step.because);
    std::vector<HiddenFile> hidden;
    std::ranges::copy_if(all_hidden, std::back_inserter(hidden),
                         [&](const HiddenFile& file) { return file.step == step.step; });
    if (options.json) {
      nlohmann::json entry = to_json(step);
      entry["because"] = engine::causes_json(causes);
      entry["words"] = nlohmann::json::array();
      for (const engine::Cause& cause : causes) entry["words"].push_back(engine::words(cause));
      entry["undeclared"] = nlohmann::json::array();
      for (const HiddenFile& file : hidden)
        entry["undeclared"].push_back({{"path", file.path}, {"access", file.access}});
      list.push_back(std::move(entry));
      continue;
    }
    std::printf("%s %s run %s", style.bold(shown(step.name)).c_str(), verb(step), id.c_str());
    // What did not run has no other state to tell.
    if (step.state != StepState::not_run)
      std::printf(" (%s)", style.of(step.state, to_string(step.state)).c_str());
    std::printf("\n");
    for (const engine::Cause& cause : causes) std::printf("  %s\n", shown(engine::words(cause)).c_str());
    if (causes.empty() && step.attempts > 0) std::printf("  always, as it declares no files\n");
    const bool told = std::ranges::any_of(
        causes, [&](const engine::Cause& cause) { return engine::words(cause) == step.reason; });
    if (!step.reason.empty() && !told && step.state != StepState::cached)
      std::printf("  %s\n", shown(step.reason).c_str());
    if (!hidden.empty()) std::printf("  it %s\n", shown(engine::hidden_words(hidden, 10)).c_str());
  }
  if (options.json) print_json({{"run", id}, {"steps", std::move(list)}});
}

}  // namespace

void set_up_why(CLI::App& app, Context& context) {
  auto options = std::make_shared<WhyOptions>();
  app.add_option("STEP", options->what, "a step, or the path of an output")->required();
  app.add_option("RUN", options->run,
                 "an id, a unique beginning or end of one, latest (default) or latest:PIPELINE");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "`mlops plan FILE` tells the same before anything runs.\n"
      "Examples:\n  mlops why train\n  mlops why models/best.json 7k2m --json");
  app.callback([options, &context] { why(*options, context); });
}

}  // namespace mlops::cli
