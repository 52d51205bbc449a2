#include "cli/context.hpp"
#include "cli/output.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <cstdio>
#include <map>
#include <set>

namespace mlops::cli {

namespace {

struct SqlOptions {
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

std::string hex(std::string_view bytes) {
  constexpr const char* digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) (text += digits[(c >> 4) & 15]) += digits[c & 15];
  return text;
}

// As SQL writes it: a blob is no text, and may hold anything.
std::string text_cell(const db::Statement& row, int column) {
  if (row.type(column) == db::Statement::Type::blob) return "x'" + hex(row.text(column)) + "'";
  return row.text(column);
}

nlohmann::json json_cell(const db::Statement& row, int column) {
  switch (row.type(column)) {
    case db::Statement::Type::integer: return row.integer(column);
    case db::Statement::Type::real: return row.real(column);
    case db::Statement::Type::text: return row.text(column);
    case db::Statement::Type::blob: return {{"hex", hex(row.text(column))}};
    case db::Statement::Type::null: break;
  }
  return nullptr;
}

std::vector<std::string> names_of(const db::Statement& row) {
  std::vector<std::string> names;
  for (int i = 0; i < row.columns(); ++i) names.push_back(row.column_name(i));
  return names;
}

// An object holds a name once: of `select a, a` the second becomes a:2.
std::vector<std::string> unique(const std::vector<std::string>& names) {
  std::set<std::string> taken(names.begin(), names.end());
  std::map<std::string, int> count;
  std::vector<std::string> result;
  for (const std::string& name : names) {
    int& n = count[name];
    std::string own = name;
    if (++n > 1) {
      while (!taken.insert(own = name + ":" + std::to_string(n)).second) ++n;
    }
    result.push_back(std::move(own));
  }
  return result;
}

void print_as_json(db::Statement& row) {
  const std::vector<std::string> names = unique(names_of(row));
  nlohmann::json rows = nlohmann::json::array();
  while (row.step()) {
    nlohmann::json entry = nlohmann::json::object();
    for (int i = 0; i < row.columns(); ++i) entry[names[static_cast<std::size_t>(i)]] = json_cell(row, i);
    rows.push_back(std::move(entry));
  }
  print_json({{"columns", names}, {"rows", std::move(rows)}});
}

void print_as_csv(db::Statement& row) {
  std::vector<std::string> cells;
  for (const std::string& name : names_of(row)) cells.push_back(csv_cell(name));
  // Not printf: a text may hold the NUL character.
  const auto print = [&] {
    const std::string line = util::join(cells, ",") + "\n";
    std::fwrite(line.data(), 1, line.size(), stdout);
  };
  print();
  while (row.step()) {
    cells.clear();
    for (int i = 0; i < row.columns(); ++i) cells.push_back(csv_cell(text_cell(row, i)));
    print();
  }
}

void print_as_table(db::Statement& row) {
  std::vector<std::string> header;
  for (const std::string& name : names_of(row)) header.push_back(util::escape_controls(name));
  Table table(header);
  while (row.step()) {
    std::vector<std::string> cells;
    for (int i = 0; i < row.columns(); ++i) cells.push_back(row.is_null(i) ? "-" : shown(text_cell(row, i)));
    table.add(std::move(cells));
  }
  table.print(stdout);
}

void query(const SqlOptions& options, Context& context) {
  OpenWorkspace open = open_to_read(context);
  db::Connection& connection = open.database.connection();
  connection.allow_only_reading();
  try {
    db::Statement row = connection.prepare(options.query);
    options.json ? print_as_json(row) : options.csv ? print_as_csv(row) : print_as_table(row);
  } catch (const db::SqliteError& error) {
    const std::string why =
        error.refused() ? "only statements that read the tables are allowed" : error.what();
    throw Error(ExitCode::usage, "cannot answer the query: " + why,
                "the views are v_runs, v_steps, v_attempts, v_params, v_metrics, v_metric_history, "
                "v_artifacts, v_hidden_files, v_datasets, v_dataset_versions, v_pins, v_slots, "
                "v_requests, v_backfills, v_events, v_promises (see docs/workspace.md)");
  }
}

}  // namespace

void set_up_sql(CLI::App& app, Context& context) {
  auto options = std::make_shared<SqlOptions>();
  app.add_option("QUERY", options->query, "one SQL statement that reads")->required();
  auto* json = app.add_flag("--json", options->json, "print JSON");
  app.add_flag("--csv", options->csv, "print CSV")->excludes(json);
  app.footer(
      "Examples:\n"
      "  mlops sql \"select pipeline, state, count(*) from v_runs group by 1, 2\"\n"
      "  mlops sql \"select run_id, value from v_metrics where name = 'accuracy' order by value desc\" "
      "--csv");
  app.callback([options, &context] { query(*options, context); });
}

}  // namespace mlops::cli
