// Rows of a query on a file of SQLite. Nothing is written to it, and none of its locks is held for long.
#include "db/sqlite.hpp"
#include "db/triggers.hpp"
#include "pipeline/paths.hpp"
#include "triggers/look.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <filesystem>

namespace mlops::triggers {

namespace {

constexpr std::size_t most_rows = 10'000;
constexpr std::size_t most_text = 64 << 10;  // of a value that steps are given
constexpr std::chrono::seconds time_limit{30};

Json value_of(const db::Statement& row, int column) {
  using Type = db::Statement::Type;
  switch (row.type(column)) {
    case Type::integer: return row.integer(column);
    case Type::real: return row.real(column);
    case Type::null: return nullptr;
    case Type::text:
    case Type::blob: break;
  }
  return util::to_utf8(row.text(column).substr(0, most_text));
}

void bind(db::Statement& row, int parameter, const Json& value) {
  if (value.is_number_integer()) {
    row.bind_one(parameter, value.get<std::int64_t>());
  } else if (value.is_number()) {
    row.bind_one(parameter, value.get<double>());
  } else if (value.is_string()) {
    row.bind_one(parameter, value.get<std::string>());
  }
}

std::string key_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

Sight rows_of(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  const std::string path = pipeline::absolute_path(scene.directory, trigger.database);
  if (!util::exists(path)) throw Error(ExitCode::io, "there is no database '" + path + "' yet");
  // Opening a pipe would wait for whoever writes to it.
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    throw Error(ExitCode::usage, "'" + path + "' is no file, so it is no database of SQLite");
  Json state = state_of(record);
  const bool first = state.is_null();
  const Json last = first ? Json() : state["last"];
  db::Connection database(path, db::Connection::Mode::read_only);
  database.allow_only_reading();
  database.give_up_after(time_limit);
  db::Statement row = database.prepare(trigger.query);
  const int since = row.parameter(":last");
  if (since > 0) bind(row, since, last);
  Sight sight;
  std::size_t rows = 0, room = most_waiting;
  room -= std::min(room, db::waiting_for(scene.connection, record.id).size());
  bool all = true;
  Json newest = last;
  while (row.step()) {
    ++rows;
    const Json key = value_of(row, 0);
    if (first && since > 0) {  // of what is there already the last row tells all
      newest = key;
      continue;
    }
    if (rows > most_rows)
      throw Error(ExitCode::usage, "the query gives more than " + std::to_string(most_rows) + " rows",
                  "let it give new ones only, such as  WHERE id > coalesce(:last, 0) ORDER BY id");
    if (key.is_null())
      throw Error(ExitCode::usage, "the first column of the query is null: nothing tells its rows apart",
                  "put a key into the first column");
    const std::string text = key_of(key);
    if (text.size() > 1'000)
      throw Error(ExitCode::usage, "the first column of the query is longer than 1000 characters",
                  "put a short key into the first column");
    const std::string dedupe = "row " + text;
    if (!first && db::has_event(scene.connection, record.id, dedupe)) {
      newest = key;
      continue;
    }
    if (!first && sight.happenings.size() >= room) {  // the others have their turn later
      all = false;
      break;
    }
    newest = key;
    Json payload = Json::object();
    for (int column = 0; column < row.columns(); ++column)
      payload[util::to_utf8(row.column_name(column))] = value_of(row, column);
    sight.happenings.push_back({dedupe,
                                "row " + util::escape_controls(text.substr(0, 100)) + " appeared",
                                {{"row", std::move(payload)}},
                                "",
                                first});
  }
  sight.words = std::to_string(rows) + (rows == 1 ? " row" : " rows") +
                (all ? "" : " and more: " + std::to_string(most_waiting) + " runs wait already");
  if (first || newest != last) sight.state = Json{{"last", newest}}.dump();
  return sight;
}

}  // namespace

Sight look_at_rows(const TriggerRecord& record, const Trigger& trigger, const Scene& scene) {
  try {
    return rows_of(record, trigger, scene);
  } catch (const db::SqliteError& error) {
    const std::string path = pipeline::absolute_path(scene.directory, trigger.database);
    if (error.hint().empty() || std::string_view(error.what()).find(path) == std::string_view::npos) throw;
    // What is usually said is said of the database of the workspace.
    throw db::SqliteError(
        error.sqlite_code(), error.what(),
        "see `database` and `query` of the trigger '" + trigger.name + "' in '" + scene.file + "'");
  }
}

}  // namespace mlops::triggers
