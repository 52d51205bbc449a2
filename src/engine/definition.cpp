#include "engine/definition.hpp"

#include "pipeline/paths.hpp"
#include "util/digest.hpp"

#include <algorithm>

namespace mlops::engine {

namespace {

Json text_json(const Text& text) {
  Json parts = Json::array();
  for (const Text::Part& part : text.parts) parts.push_back({part.literal, part.step, part.key});
  return parts;
}

Json command_json(const Command& command) {
  Json argv = Json::array();
  for (const Text& argument : command.argv) argv.push_back(text_json(argument));
  return {{"shell", command.shell}, {"each", command.each}, {"argv", std::move(argv)}};
}

Json step_json(const Step& step) {
  Json env = Json::object(), outputs = Json::array();
  for (const auto& [name, text] : step.env) env[name] = text_json(text);
  for (const Output& output : step.outputs) outputs.push_back({output.path, output.kind, output.persist});
  return {{"name", step.name},
          {"kind", step.kind},
          {"command", command_json(step.command)},
          {"workdir", step.workdir},
          {"inputs", step.inputs},
          {"outputs", std::move(outputs)},
          {"metrics", step.metrics},
          {"code", step.code},
          {"needs", step.needs},
          {"env", std::move(env)},
          {"secrets", step.secrets},
          {"when", step.when},
          {"on_failure", step.continue_on_failure},
          {"always", step.always},
          {"vars", step.vars}};
}

}  // namespace

std::string steps_digest(const Pipeline& pipeline) {
  Json steps = Json::array();
  for (const Step& step : pipeline.steps) steps.push_back(step_json(step));
  const Json all = {{"params", pipeline.params},
                    {"env", pipeline.env},
                    {"inherit_env", pipeline.inherit_env},
                    {"steps", std::move(steps)}};
  return util::sha256(all.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::vector<std::string> makers_of(const Pipeline& pipeline, const std::string& path) {
  std::vector<std::string> names;
  for (const Step& step : pipeline.steps) {
    const auto holds = [&](const std::string& declared) {
      const std::string full = pipeline::absolute_path(
          pipeline.directory, pipeline::normal_path(pipeline.directory, step.workdir, declared));
      return path == full || pipeline::lies_in(path, full);
    };
    if (std::ranges::any_of(step.outputs, holds, &Output::path) || std::ranges::any_of(step.metrics, holds))
      names.push_back(step.name);
  }
  return names;
}

}  // namespace mlops::engine
