#include "engine/job.hpp"

#include "engine/collect.hpp"
#include "params/shell_context.hpp"
#include "process/secret_forms.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"
#include "workspace/layout.hpp"
#include "workspace/secrets.hpp"

#include <algorithm>
#include <cstdlib>
#include <set>

namespace mlops::engine {

std::string fill(const Text& text, const OutputValues& values, bool shell) {
  std::string result;
  for (const Text::Part& part : text.parts) {
    if (part.step.empty()) {
      result += part.literal;
      continue;
    }
    const std::string name = "steps." + part.step + ".outputs." + part.key;
    const auto step = values.find(part.step);
    const auto value = step == values.end() ? decltype(step->second.end())() : step->second.find(part.key);
    if (step == values.end() || value == step->second.end()) {
      std::vector<std::string> known;
      if (step != values.end()) {
        for (const auto& [key, ignored] : step->second) known.push_back(key);
      }
      throw Error(ExitCode::usage,
                  "${" + name + "} has no value: step '" + part.step + "' wrote " +
                      (known.empty() ? "nothing to MLOPS_OUTPUT" : "only " + util::join(known, ", ")));
    }
    result += shell ? params::shell_word(value->second) : value->second;
  }
  return result;
}

std::string command_text(const Step& step) {
  std::vector<std::string> words;
  for (const Text& argument : step.command.argv) {
    std::string word;
    for (const Text::Part& part : argument.parts) {
      word += part.step.empty() ? part.literal : "${steps." + part.step + ".outputs." + part.key + "}";
    }
    words.push_back(
        step.command.shell || step.command.each || !argument.is_literal() ? word : util::shell_quote(word));
  }
  return util::join(words, step.command.each ? "\n" : " ");
}

namespace {

// The user's own shell, without what it would read first: `--norc` and the like.
std::vector<std::string> users_shell() {
  const char* shell = std::getenv("SHELL");
  const std::string path = shell && *shell ? shell : "/bin/sh";
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name == "bash") return {path, "--noprofile", "--norc"};
  if (name == "zsh") return {path, "--no-rcs"};
  if (name == "fish") return {path, "--no-config"};
  return {path};
}

// One shell a script, one after the other until one fails.
std::vector<std::string> each_in_a_shell(const std::vector<std::string>& scripts) {
  std::vector<std::string> argv = users_shell();
  if (scripts.size() == 1) {
    argv.insert(argv.end(), {"-c", scripts[0]});
    return argv;
  }
  for (std::string& word : argv) word = util::shell_quote(word);
  std::vector<std::string> loop = {
      "/bin/sh", "-c", "for script do " + util::join(argv, " ") + " -c \"$script\" || exit; done", "sh"};
  loop.insert(loop.end(), scripts.begin(), scripts.end());
  return loop;
}

}  // namespace

process::StartRequest make_request(const Pipeline& pipeline, int index, int attempt,
                                   const std::vector<std::string>& gpus, const JobContext& context,
                                   const OutputValues& values) {
  const Step& step = pipeline.steps[static_cast<std::size_t>(index)];
  process::StartRequest r;
  r.key = {index, attempt};
  r.name = step.name;
  r.directory = step_directory(pipeline, step);
  if (step.command.shell) {
    // -e: a script stops at its first failing command instead of going on with half of its work.
    r.argv = {"/bin/sh", "-e", "-c", fill(step.command.argv[0], values, true)};
  } else {
    for (const Text& argument : step.command.argv) r.argv.push_back(fill(argument, values, false));
    if (step.command.each) r.argv = each_in_a_shell(r.argv);
  }
  if (context.trace_reads) r.trace_file = layout::trace_file(context.run_directory, step.name, attempt);
  r.inherit_env = pipeline.inherit_env;
  std::map<std::string, std::string> env;
  if (!pipeline.inherit_env) {
    for (const char* name : {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"}) {
      if (const char* value = std::getenv(name)) env[name] = value;
    }
  }
  for (const auto& [name, value] : pipeline.env) env[name] = value;
  for (const auto& [name, value] : step.env) env[name] = fill(value, values, false);
  // Whatever a step prints: one that does not name a secret may have read it all the same.
  for (const auto& [name, value] : context.secrets) r.secrets.push_back(value);
  // A declared secret reaches only the steps that name it, also when it lies in our own environment.
  for (const Secret& secret : pipeline.secrets) {
    const bool named = std::find(step.secrets.begin(), step.secrets.end(), secret.name) != step.secrets.end();
    if (named) {
      env[secret.name] = context.secrets.at(secret.name);
    } else {
      r.unset_env.push_back(secret.name);
    }
    if (secret.source == Secret::Source::env && secret.from[0] != secret.name)
      r.unset_env.push_back(secret.from[0]);
  }
  if (step.resources.gpus > 0) env["CUDA_VISIBLE_DEVICES"] = util::join(gpus, ",");
  env["MLOPS_RUN_ID"] = context.run_id;
  env["MLOPS_PIPELINE"] = pipeline.name;
  env["MLOPS_STEP"] = step.name;
  env["MLOPS_ATTEMPT"] = std::to_string(attempt);
  env["MLOPS_WORKSPACE"] = context.workspace_root;
  env["MLOPS_RUN_DIR"] = context.run_directory;
  env["MLOPS_PARAMS"] = layout::in(context.run_directory, layout::params);
  env["MLOPS_METRICS"] = layout::metrics_file(context.run_directory, step.name, attempt);
  env["MLOPS_OUTPUT"] = layout::output_file(context.run_directory, step.name, attempt);
  r.small_files = {env["MLOPS_METRICS"], env["MLOPS_OUTPUT"]};
  if (context.fence > 0) env["MLOPS_FENCE"] = std::to_string(context.fence);
  if (!context.event.path.empty() && names_event(step)) {
    env["MLOPS_EVENT"] = context.event.path;
  } else {
    r.unset_env.push_back("MLOPS_EVENT");
  }
  if (!step.vars.is_null())
    env["MLOPS_MATRIX"] = step.vars.dump(-1, ' ', false, Json::error_handler_t::replace);
  for (const auto& [name, value] : env) r.env.push_back(name + "=" + value);
  r.timeout_ms = step.timeout.count();
  r.no_output_ms = step.no_output_timeout.count();
  r.grace_ms = step.grace.count();
  r.leave_running = step.leave_running;
  return r;
}

std::string path_of(const Pipeline& pipeline, const process::StartRequest& request) {
  for (const std::string& entry : request.env) {
    if (entry.starts_with("PATH=")) return entry.substr(5);
  }
  const char* path = std::getenv("PATH");
  return pipeline.inherit_env && path ? path : "/usr/local/bin:/usr/bin:/bin";
}

std::map<std::string, std::string> resolve_secrets(const Pipeline& pipeline,
                                                   const std::vector<char>& selected) {
  std::set<std::string> wanted;
  for (std::size_t i = 0; i < pipeline.steps.size(); ++i) {
    if (selected[i]) wanted.insert(pipeline.steps[i].secrets.begin(), pipeline.steps[i].secrets.end());
  }
  std::map<std::string, std::string> values;
  for (const Secret& secret : pipeline.secrets) {
    if (!wanted.contains(secret.name)) continue;
    const std::string& value = values[secret.name] = workspace::secret_value(secret, pipeline.directory);
    if (!value.empty() && value.size() < process::SecretForms::shortest)
      util::log_warning("the secret '" + secret.name + "' has fewer than " +
                        std::to_string(process::SecretForms::shortest) +
                        " characters: it is not masked in what steps print");
  }
  return values;
}

}  // namespace mlops::engine
