#include "cli/plan.hpp"

#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "engine/job.hpp"
#include "schedule/timetable.hpp"
#include "util/strings.hpp"

#include <cstdio>

namespace mlops::cli {

using What = engine::Foreseen::What;

namespace {

std::vector<std::string> names_of(const Pipeline& pipeline, const std::vector<int>& steps) {
  std::vector<std::string> names;
  for (const int step : steps) names.push_back(pipeline.steps[static_cast<std::size_t>(step)].name);
  return names;
}

std::string all_words(const std::vector<engine::Cause>& causes) {
  std::vector<std::string> list;
  for (const engine::Cause& cause : causes) list.push_back(engine::words(cause));
  return util::to_utf8(util::join(list, "; "));
}

struct PlanOptions {
  std::string file;
  std::string slot;  // now, or a time
  LoadOptions load;
  RunSettings settings;
  bool json = false;
};

}  // namespace

nlohmann::json plan_json(const Pipeline& pipeline, const Graph& graph,
                         const std::vector<engine::Foreseen>& plan) {
  nlohmann::json steps = nlohmann::json::array();
  for (const engine::Foreseen& seen : plan) {
    const auto i = static_cast<std::size_t>(seen.step);
    const Step& step = pipeline.steps[i];
    steps.push_back({{"name", step.name},
                     {"kind", step.kind},
                     {"action", to_string(seen.what)},
                     {"reason", all_words(seen.causes)},
                     {"because", engine::causes_json(seen.causes)},
                     {"command", engine::command_text(step)},
                     {"when", step.when},
                     {"needs", names_of(pipeline, graph.needs[i])}});
  }
  return {
      {"pipeline", pipeline.name}, {"file", pipeline.file}, {"params", pipeline.params}, {"steps", steps}};
}

void print_plan(const Pipeline& pipeline, const Graph& graph, const std::vector<engine::Foreseen>& plan,
                bool commands) {
  const Style style = style_of(stdout);
  int count[4] = {};
  for (const engine::Foreseen& seen : plan) ++count[static_cast<int>(seen.what)];
  std::printf("%s would run %d of %zu steps", style.bold(shown(pipeline.name)).c_str(), count[0],
              plan.size());
  if (count[2] > 0) std::printf(", perhaps %d more", count[2]);
  if (count[1] > 0) std::printf("; %d cached", count[1]);
  std::printf(":\n");
  for (const engine::Foreseen& seen : plan) {
    const auto i = static_cast<std::size_t>(seen.step);
    const Step& step = pipeline.steps[i];
    if (seen.what == What::left_out || seen.what == What::cached) {
      std::printf("%s\n", style
                              .dim(std::string(to_string(seen.what)) + " " + shown(step.name) + ": " +
                                   all_words(seen.causes))
                              .c_str());
      continue;
    }
    std::string head = style.accent(std::string(to_string(seen.what)) + " ") + shown(step.name);
    if (!step.kind.empty()) head += style.dim(" [" + step.kind + "]");
    if (commands) {
      const auto needs = names_of(pipeline, graph.needs[i]);
      if (!needs.empty()) head += style.dim(" after " + shown(util::join(needs, ", ")));
      if (step.always) head += style.dim(" always");
    }
    std::printf("%s: %s\n", head.c_str(), all_words(seen.causes).c_str());
    if (!commands) continue;
    for (const std::string& line : util::split(util::trim(engine::command_text(step)), '\n'))
      std::printf("    %s\n", shown(line).c_str());
  }
}

namespace {

Pipeline load(PlanOptions& options) {
  Pipeline pipeline = load_pipeline(options.file, options.load);
  if (options.slot.empty()) return pipeline;
  pipeline::Zones zones;
  const auto timetables = schedule::require_timetables(pipeline, zones);
  const auto [at, entry] =
      schedule::slots_meant(pipeline.file, timetables,
                            options.slot == "now" ? std::nullopt : std::optional(options.slot),
                            calendar::now_seconds())
          .front();
  options.load.slot = schedule::slot_values(timetables[entry], at);
  return load_pipeline(options.file, options.load);
}

}  // namespace

void set_up_plan(CLI::App& app, Context& context) {
  auto options = std::make_shared<PlanOptions>();
  app.add_option("FILE", options->file, "pipeline file")->required();
  add_set_option(app, options->load.overrides);
  app.add_option("--slot", options->slot, "as for run, which a file with ${slot.…} needs: now, or a time")
      ->type_name("now|TIME");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Tells for every step whether it would run, and why. Changes nothing.\n"
      "Examples:\n  mlops plan pipeline.yaml --set train.lr=0.2");
  app.callback([options, &context] {
    const Pipeline pipeline = load(*options);
    const Graph graph = make_graph(pipeline);
    const auto plan = engine::foresee(pipeline, graph, make_plan(pipeline, graph, {}),
                                      Workspace::find(pipeline.directory, context.workspace),
                                      engine::cache_settings(options->settings));
    if (options->json) return print_json(plan_json(pipeline, graph, plan));
    print_plan(pipeline, graph, plan, false);
  });
}

}  // namespace mlops::cli
