#include "db/salvage.hpp"

#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <chrono>
#include <memory>
#include <set>

namespace mlops::db {

namespace {

constexpr std::chrono::minutes patience{10};  // damage may lead round and round

struct Column {
  std::string name, type;
  std::int64_t place_in_key = 0;
};

std::vector<Column> columns_of(Connection& db, const std::string& table) {
  std::vector<Column> columns;
  Statement row = db.prepare("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid");
  row.bind(table);
  while (row.step()) columns.push_back({row.text(0), row.text(1), row.integer(2)});
  return columns;
}

// In the order in which they were made: what is referred to comes first.
std::vector<std::string> tables_of(Connection& db) {
  std::vector<std::string> names;
  Statement row = db.prepare(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid");
  while (row.step()) names.push_back(row.text(0));
  return names;
}

// A page that came to lie in the wrong place has values that no column of ours has.
bool fits(const std::string& type, Statement::Type value) {
  using Type = Statement::Type;
  if (value == Type::null) return true;
  if (type == "TEXT") return value == Type::text;
  if (type == "INTEGER") return value == Type::integer;
  if (type == "REAL") return value == Type::real || value == Type::integer;
  return type != "BLOB" || value == Type::blob;
}

class Copier {
 public:
  Copier(Connection& from, Connection& to, std::string table) : from_(from), to_(to) {
    result.name = std::move(table);
    std::set<std::string> there;
    for (const Column& column : columns_of(from_, result.name)) there.insert(column.name);
    std::vector<std::string> names, marks, key;
    for (const Column& column : columns_of(to_, result.name)) {
      if (column.place_in_key > 0) key.push_back('"' + column.name + "\" DESC");
      if (!there.contains(column.name)) continue;
      columns_.push_back(column);
      names.push_back('"' + column.name + '"');
      marks.push_back("?");
    }
    list_ = util::join(names, ", ");
    marks_ = util::join(marks, ", ");
    backwards_ = " ORDER BY " + util::join(key, ", ");
  }

  SalvagedTable result;

  void copy() {
    if (columns_.empty()) {
      result.whole = false;
      return;
    }
    // What lies behind a damaged page is reached from the other end.
    if (pass(" NOT INDEXED")) return;
    result.whole = false;
    pass(backwards_);
  }

 private:
  bool pass(const std::string& order) {
    try {
      Statement row = from_.prepare("SELECT " + list_ + " FROM \"" + result.name + '"' + order);
      Statement insert = to_.prepare("INSERT OR IGNORE INTO \"" + result.name + "\" (" + list_ +
                                     ") VALUES (" + marks_ + ")");
      while (row.step()) put(row, insert);
      return true;
    } catch (const SqliteError& error) {
      util::log_debug("table " + result.name + ": " + error.what());
      return false;
    }
  }

  void put(const Statement& row, Statement& insert) {
    insert.reset();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const int column = static_cast<int>(i), parameter = column + 1;
      const Statement::Type type = row.type(column);
      if (!fits(columns_[i].type, type)) {
        result.whole = false;
        return;
      }
      switch (type) {
        case Statement::Type::null: insert.bind_one(parameter, nullptr); break;
        case Statement::Type::integer: insert.bind_one(parameter, row.integer(column)); break;
        case Statement::Type::real: insert.bind_one(parameter, row.real(column)); break;
        case Statement::Type::text: insert.bind_one(parameter, row.text(column)); break;
        case Statement::Type::blob: insert.bind_blob(parameter, row.text(column)); break;
      }
    }
    try {
      insert.run();
      result.rows += static_cast<std::uint64_t>(to_.changes());
    } catch (const SqliteError&) {
      insert.reset();  // it refers to a row that could not be read
      result.whole = false;
    }
  }

  Connection& from_;
  Connection& to_;
  std::vector<Column> columns_;
  std::string list_, marks_, backwards_;
};

// With its log, and as it is without: where the log is damaged, or is that of another file, there is more in
// it.
struct Way {
  std::unique_ptr<Connection> connection;
  bool older;  // without what a log has
};

std::vector<Way> open(const std::string& path) {
  std::vector<Way> ways;
  for (const auto mode : {Connection::Mode::read_only, Connection::Mode::immutable}) {
    try {
      auto connection = std::make_unique<Connection>(path, mode);
      connection->prepare("SELECT count(*) FROM sqlite_schema").step();
      connection->give_up_after(patience);
      const bool older = mode == Connection::Mode::immutable && util::file_size(path + "-wal") > 0;
      ways.push_back({std::move(connection), older});
    } catch (const SqliteError& error) {
      util::log_debug(std::string("nothing can be read of the old database: ") + error.what());
    }
  }
  return ways;
}

// Adds what can be read one way to what is there already.
void copy_table(Connection& from, Database& to, SalvagedTable& table) {
  try {
    Transaction transaction(to);
    Copier copier(from, to.connection(), table.name);
    copier.copy();
    transaction.commit();
    table.rows += copier.result.rows;
    table.whole = copier.result.whole;
  } catch (const SqliteError& error) {
    util::log_debug("table " + table.name + ": " + error.what());
  }
}

}  // namespace

std::vector<SalvagedTable> salvage(const std::string& path, Database& to) {
  std::vector<SalvagedTable> tables;
  const std::vector<Way> ways = open(path);
  for (const std::string& name : tables_of(to.connection())) {
    SalvagedTable& table = tables.emplace_back(SalvagedTable{name, 0, false});
    for (const Way& way : ways) {
      if (table.whole) break;
      copy_table(*way.connection, to, table);
      if (way.older) table.whole = false;
    }
  }
  return tables;
}

}  // namespace mlops::db
