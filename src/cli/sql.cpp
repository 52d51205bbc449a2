#include "cli/context.hpp"
#include "cli/output.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct Options {
  std::string query;
  bool json = false;
  bool csv = false;
};

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

nlohmann::json json_cell(const db::Statement& row, int column) {
  switch (row.type(column)) {
    case db::Statement::Type::integer: return row.integer(column);
    case db::Statement::Type::real: return row.real(column);
    case db::Statement::Type::text:
    case db::Statement::Type::blob: return row.text(column);
    case db::Statement::Type::null: break;
  }
  return nullptr;
}

void query(const Options& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  connection.allow_only_reading();
  try {
    db::Statement row = connection.prepare(options.query);
    std::vector<std::string> names;
    for (int i = 0; i < row.columns(); ++i) names.push_back(row.column_name(i));
    if (options.json) {
      nlohmann::json rows = nlohmann::json::array();
      while (row.step()) {
        nlohmann::json entry = nlohmann::json::object();
        for (int i = 0; i < row.columns(); ++i) entry[names[static_cast<std::size_t>(i)]] = json_cell(row, i);
        rows.push_back(std::move(entry));
      }
      return print_json({{"columns", names}, {"rows", std::move(rows)}});
    }
    if (options.csv) {
      std::vector<std::string> cells;
      for (const std::string& name : names) cells.push_back(csv_cell(name));
      std::printf("%s\n", util::join(cells, ",").c_str());
      while (row.step()) {
        cells.clear();
        for (int i = 0; i < row.columns(); ++i) cells.push_back(csv_cell(row.text(i)));
        std::printf("%s\n", util::join(cells, ",").c_str());
      }
      return;
    }
    Table table(names);
    while (row.step()) {
      std::vector<std::string> cells;
      for (int i = 0; i < row.columns(); ++i)
        cells.push_back(row.is_null(i) ? "-" : util::to_utf8(row.text(i)));
      table.add(std::move(cells));
    }
    table.print(stdout);
  } catch (const db::SqliteError& error) {
    const std::string why =
        error.refused() ? "only statements that read the tables are allowed" : error.what();
    throw Error(ExitCode::usage, "cannot answer the query: " + why,
                "the views are v_runs, v_steps, v_attempts, v_params, v_metrics, v_metric_history, "
                "v_artifacts (see docs/workspace.md)");
  }
}

}  // namespace

void set_up_sql(CLI::App& app, Context& context) {
  auto options = std::make_shared<Options>();
  app.add_option("QUERY", options->query, "one SQL statement that reads")->required();
  app.add_flag("--json", options->json, "print JSON");
  app.add_flag("--csv", options->csv, "print CSV");
  app.footer(
      "Examples:\n"
      "  mlops sql \"select pipeline, state, count(*) from v_runs group by 1, 2\"\n"
      "  mlops sql \"select run_id, value from v_metrics where name = 'accuracy' order by value desc\" "
      "--csv");
  app.callback([options, &context] { query(*options, context); });
}

}  // namespace mlops::cli
