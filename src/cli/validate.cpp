#include <mlops/pipeline.hpp>

#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "pipeline/doubts.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <cstdio>
#include <map>

namespace mlops::cli {

namespace {

struct ValidateOptions {
  std::vector<std::string> files;
  std::vector<std::string> overrides;
  bool strict = false;
  bool json = false;
};

void validate(const ValidateOptions& options, Context& context) {
  nlohmann::json files = nlohmann::json::array();
  std::vector<Diagnostic> all, warnings;
  std::map<std::string, std::string> files_by_name;
  ExitCode worst = ExitCode::usage;
  for (const std::string& file : options.files) {
    nlohmann::json entry = {{"file", file},
                            {"valid", true},
                            {"problems", nlohmann::json::array()},
                            {"warnings", nlohmann::json::array()}};
    try {
      const Pipeline pipeline = load_pipeline(file, {.overrides = options.overrides});
      entry["name"] = pipeline.name;
      entry["steps"] = pipeline.steps.size();
      auto doubts = pipeline::doubts_about(pipeline, calendar::now_seconds());
      const std::string& first = files_by_name.try_emplace(pipeline.name, file).first->second;
      if (util::absolute_path(first) != util::absolute_path(file))
        doubts.push_back({file,
                          {},
                          "the pipeline is called '" + pipeline.name + "', as that of '" + first + "'",
                          "give one of them a `name:` of its own: the daemon serves only one of each name"});
      entry["warnings"] = to_json(doubts);
      warnings.insert(warnings.end(), doubts.begin(), doubts.end());
      if (!options.json) {
        std::printf("%s: ok (%s, %zu step%s)\n", shown(file).c_str(), pipeline.name.c_str(),
                    pipeline.steps.size(), pipeline.steps.size() == 1 ? "" : "s");
      }
    } catch (const BadFile& bad) {
      entry["valid"] = false;
      entry["problems"] = to_json(bad.problems());
      all.insert(all.end(), bad.problems().begin(), bad.problems().end());
    } catch (const Error& error) {
      // One that cannot be read hides nothing of the others.
      const std::vector<Diagnostic> problem = {{file, {}, error.what(), error.hint()}};
      entry["valid"] = false;
      entry["problems"] = to_json(problem);
      all.push_back(problem.front());
      worst = error.code();
    }
    files.push_back(std::move(entry));
  }
  if (options.json) print_json({{"valid", all.empty()}, {"files", std::move(files)}});
  if (!options.json) {
    std::fflush(stdout);
    print_warnings(warnings);
  }
  if (options.strict && !warnings.empty()) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (all.empty()) return;
  context.exit_code = static_cast<int>(worst);
  if (!options.json) print_diagnostics(all);
}

}  // namespace

void set_up_validate(CLI::App& app, Context& context) {
  auto options = std::make_shared<ValidateOptions>();
  app.add_option("FILE", options->files, "pipeline files")->required();
  add_set_option(app, options->overrides);
  app.add_flag("--strict", options->strict, "exit with 3 if there is a warning");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Exits with 2 if there is a problem. A warning tells of what is valid and seldom meant.\n"
      "Examples:\n  mlops validate pipeline.yaml\n  mlops validate pipelines/*/pipeline.yaml --json");
  app.callback([options, &context] { validate(*options, context); });
}

}  // namespace mlops::cli
