#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/cache.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/step_facts.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"

#include <cmath>
#include <cstdio>
#include <map>

namespace mlops::cli {

namespace {

struct DiffOptions {
  std::string before, after;
  bool all = false;
  bool json = false;
  bool markdown = false;
};

using Values = std::map<std::string, std::string>;  // name -> value as shown

/// One side of the comparison, by section.
struct Side {
  RunRecord run;
  std::map<std::string, Values> sections;
};

constexpr const char* sections[] = {"params", "metrics", "inputs", "outputs", "steps", "code", "environment"};

Side read_side(OpenWorkspace& open, const std::string& name) {
  db::Connection& connection = open.database.connection();
  const std::string id = find_run_id(open, name);
  Side side;
  side.run = db::find_run(connection, id).value_or(RunRecord());
  const auto steps = db::steps_of(connection, id);
  for (const auto& [param, value] : db::params_of(connection, id)) side.sections["params"][param] = value;
  for (const MetricRecord& m : db::metrics_of(connection, id)) {
    const std::string step = steps[static_cast<std::size_t>(m.step)].name;
    side.sections["metrics"][step + " " + m.name] = m.value ? format_number(*m.value) : "nan";
  }
  for (const ArtifactRecord& a : db::artifacts_of(connection, id)) {
    const char* section = a.output ? "outputs" : a.kind == "code" ? "code" : "inputs";
    side.sections[section][a.path] = a.sha256.substr(0, 12);
  }
  for (const StepRecord& step : steps) side.sections["steps"][step.name] = to_string(step.state);
  Values& code = side.sections["code"];
  code["definition"] = side.run.definition.substr(0, 12);
  if (side.run.git_commit)
    code["git"] =
        side.run.git_commit->substr(0, 12) + (side.run.git_dirty.value_or(false) ? " with changes" : "");
  Values& environment = side.sections["environment"];
  for (const std::string& variable : db::environment_of(connection, id)) environment[variable] = "set";
  // What steps were given by `env:` has a value.
  for (const StepRecord& step : steps) {
    const auto facts =
        db::facts_of(connection, step.source_run.value_or(id), step.source_step.value_or(step.step));
    if (!facts) continue;
    const engine::StepFacts parsed = engine::parse_facts(nlohmann::json::parse(*facts, nullptr, false));
    for (const auto& [variable, value] : parsed.env) environment[step.name + " " + variable] = value;
  }
  environment["host"] = side.run.host;
  environment["user"] = side.run.user;
  environment["mlops"] = side.run.mlops_version;
  return side;
}

struct Row {
  std::string name, before, after;
};

std::vector<Row> rows_of(const Side& a, const Side& b, const std::string& section, bool all) {
  static const Values none;
  const auto of = [&](const Side& side) -> const Values& {
    const auto it = side.sections.find(section);
    return it == side.sections.end() ? none : it->second;
  };
  std::map<std::string, Row> rows;
  for (const auto& [name, value] : of(a)) rows[name] = {name, value, ""};
  for (const auto& [name, value] : of(b)) {
    Row& row = rows[name];
    row.name = name;
    row.after = value;
  }
  std::vector<Row> list;
  for (auto& [name, row] : rows) {
    if (all || row.before != row.after) list.push_back(std::move(row));
  }
  return list;
}

// "+0.012" between two numbers, else empty.
std::string change(const Row& row) {
  char* end = nullptr;
  const double a = std::strtod(row.before.c_str(), &end);
  if (row.before.empty() || *end != '\0') return "";
  const double b = std::strtod(row.after.c_str(), &end);
  if (row.after.empty() || *end != '\0' || !std::isfinite(b - a)) return "";
  return (b >= a ? "+" : "") + format_number(b - a);
}

std::string cell(const std::string& text) {
  std::string escaped;
  for (std::string line : util::split(text, '\n')) {
    line = shown(line);
    escaped += escaped.empty() ? "" : " ";
    for (const char c : line) escaped += c == '|' ? "\\|" : std::string(1, c);
  }
  return escaped.empty() ? "–" : escaped;
}

void print_markdown(const Side& a, const Side& b, bool all) {
  std::printf("### %s: %s → %s\n", cell(b.run.pipeline).c_str(), a.run.id.c_str(), b.run.id.c_str());
  for (const char* section : sections) {
    const auto rows = rows_of(a, b, section, all);
    if (rows.empty()) continue;
    const bool numbers = section == std::string("metrics");
    std::printf("\n| %s | %s | %s |%s\n|---|---|---|%s\n", section, a.run.id.c_str(), b.run.id.c_str(),
                numbers ? " change |" : "", numbers ? "---|" : "");
    for (const Row& row : rows) {
      std::printf("| %s | %s | %s |", cell(row.name).c_str(), cell(row.before).c_str(),
                  cell(row.after).c_str());
      if (numbers) std::printf(" %s |", cell(change(row)).c_str());
      std::printf("\n");
    }
  }
}

void print_text(const Side& a, const Side& b, bool all) {
  const Style style = style_of(stdout);
  bool any = false;
  for (const char* section : sections) {
    const auto rows = rows_of(a, b, section, all);
    if (rows.empty()) continue;
    std::printf("%s%s\n", any ? "\n" : "", style.bold(section).c_str());
    any = true;
    Table table({"  NAME", a.run.id, b.run.id, "CHANGE"});
    for (const Row& row : rows) {
      const auto value = [](const std::string& text) { return text.empty() ? "-" : text; };
      table.add({"  " + row.name, value(row.before), value(row.after), change(row)});
    }
    table.print(stdout);
  }
  if (!any) std::printf("runs %s and %s do not differ\n", a.run.id.c_str(), b.run.id.c_str());
}

void diff(const DiffOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  const Side a = read_side(open, options.before), b = read_side(open, options.after);
  if (options.markdown) return print_markdown(a, b, options.all);
  if (!options.json) return print_text(a, b, options.all);
  nlohmann::json json = {{"before", to_json(a.run)}, {"after", to_json(b.run)}};
  for (const char* section : sections) {
    json[section] = nlohmann::json::array();
    for (const Row& row : rows_of(a, b, section, options.all)) {
      const auto value = [](const std::string& text) {
        return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
      };
      json[section].push_back({{"name", row.name},
                               {"before", value(row.before)},
                               {"after", value(row.after)},
                               {"change", value(change(row))}});
    }
  }
  print_json(json);
}

}  // namespace

void set_up_diff(CLI::App& app, Context& context) {
  auto options = std::make_shared<DiffOptions>();
  app.add_option("BEFORE", options->before, "a run: id, unique beginning or end, latest or latest:PIPELINE")
      ->required();
  app.add_option("AFTER", options->after, "another run")->required();
  app.add_flag("--all", options->all, "also what is the same in both");
  auto* json = app.add_flag("--json", options->json, "print JSON");
  app.add_flag("--md", options->markdown, "print Markdown tables")->excludes(json);
  app.footer("Examples:\n  mlops diff 7k2m latest\n  mlops diff 7k2m latest --md >> report.md");
  app.callback([options, &context] { diff(*options, context); });
}

}  // namespace mlops::cli
