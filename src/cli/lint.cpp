#include "engine/lint.hpp"

#include "calendar/instants.hpp"
#include "cli/context.hpp"
#include "cli/output.hpp"
#include "pipeline/doubts.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdio>

namespace mlops::cli {

namespace {

struct LintOptions {
  std::string file;
  std::vector<std::string> overrides;
  bool strict = false;
  bool json = false;
};

std::vector<engine::LintStep> look(const Pipeline& pipeline, const Context& context) {
  const Graph graph = make_graph(pipeline);
  const auto workspace = Workspace::find(pipeline.directory, context.workspace);
  if (!workspace || !util::exists(workspace->database_path()))
    return engine::lint(pipeline, graph, workspace ? &*workspace : nullptr, nullptr);
  db::Database database = db::Database::open_to_read(
      workspace->database_path(), workspace->trusted() ? db::Access::write : db::Access::read_only);
  return engine::lint(pipeline, graph, &*workspace, &database.connection());
}

std::string line_text(const std::pair<std::string, std::vector<std::string>>& line) {
  return line.first + ": [" + util::join(line.second, ", ") + "]";
}

void print(const Pipeline& pipeline, const std::vector<engine::LintStep>& steps, bool warned) {
  const Style style = style_of(stdout);
  std::size_t count = 0;
  std::vector<std::string> never;
  for (const engine::LintStep& step : steps) {
    if (step.traced_run.empty()) never.push_back(step.name);
    count += step.findings.size();
    if (step.findings.empty()) continue;
    std::printf("%s (%s:%d)\n", style.bold(shown(step.name)).c_str(), shown(pipeline.file).c_str(),
                step.at.line);
    for (const engine::LintFinding& finding : step.findings) {
      const bool traced = finding.rule.starts_with("undeclared");
      std::printf("  %s%s\n", shown(finding.message).c_str(),
                  traced ? style.dim(" (run " + step.traced_run + ")").c_str() : "");
    }
    if (step.expanded && !step.lines.empty()) std::printf("  to be added:\n");
    for (const auto& line : step.lines) std::printf("    %s\n", style.accent(shown(line_text(line))).c_str());
  }
  if (count == 0 && !warned)
    std::printf("%s nothing to suggest for %s\n", style.good("✔").c_str(), shown(pipeline.name).c_str());
  if (!never.empty()) {
    std::printf("%s never traced: `mlops run %s --trace-reads --force` finds what %s\n",
                shown(util::join(never, ", ")).c_str(), shown(util::shell_quote(pipeline.file)).c_str(),
                never.size() == 1 ? "it reads" : "they read");
  }
}

nlohmann::json as_json(const Pipeline& pipeline, const std::vector<engine::LintStep>& steps,
                       const std::vector<Diagnostic>& warnings) {
  nlohmann::json list = nlohmann::json::array();
  for (const engine::LintStep& step : steps) {
    nlohmann::json findings = nlohmann::json::array(), suggested = nlohmann::json::object();
    for (const engine::LintFinding& finding : step.findings)
      findings.push_back({{"rule", finding.rule}, {"message", finding.message}, {"paths", finding.paths}});
    for (const auto& line : step.lines) suggested[line.first] = line_text(line);
    list.push_back(
        {{"step", step.name},
         {"line", step.at.line},
         {"traced_run", step.traced_run.empty() ? nlohmann::json(nullptr) : nlohmann::json(step.traced_run)},
         {"findings", std::move(findings)},
         {"suggested", std::move(suggested)}});
  }
  return {{"pipeline", pipeline.name},
          {"file", pipeline.file},
          {"steps", std::move(list)},
          {"warnings", to_json(warnings)}};
}

void lint(const LintOptions& options, Context& context) {
  util::set_up_log(context.verbose);
  const std::string file = options.file.empty() ? "pipeline.yaml" : options.file;
  if (options.file.empty() && !util::exists(file))
    throw Error(ExitCode::usage, "no pipeline file given, and there is no pipeline.yaml here",
                "mlops lint FILE");
  const Pipeline pipeline = load_pipeline(file, {.overrides = options.overrides, .check_files = false});
  const auto steps = look(pipeline, context);
  const auto warnings = pipeline::doubts_about(pipeline, calendar::now_seconds());
  const bool clean = warnings.empty() &&
                     std::ranges::all_of(steps, [](const engine::LintStep& s) { return s.findings.empty(); });
  if (options.strict && !clean) context.exit_code = static_cast<int>(ExitCode::gate_refused);
  if (options.json) return print_json(as_json(pipeline, steps, warnings));
  print(pipeline, steps, !warnings.empty());
  std::fflush(stdout);
  print_warnings(warnings);
}

}  // namespace

void set_up_lint(CLI::App& app, Context& context) {
  auto options = std::make_shared<LintOptions>();
  app.add_option("FILE", options->file, "pipeline file (default: pipeline.yaml)");
  add_set_option(app, options->overrides);
  app.add_flag("--strict", options->strict, "exit with 3 if there is something to say");
  app.add_flag("--json", options->json, "print JSON");
  app.footer(
      "Suggests lines for the file: inputs, code and outputs that steps do not declare. What steps really "
      "read\n"
      "and wrote is known of runs with --trace-reads; scripts named in commands are found without.\n"
      "Examples:\n"
      "  mlops run pipeline.yaml --trace-reads --force && mlops lint pipeline.yaml\n"
      "  mlops lint --strict --json");
  app.callback([options, &context] { lint(*options, context); });
}

}  // namespace mlops::cli
