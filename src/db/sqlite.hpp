// SQLite in four classes; the only door to sqlite3.h.
#pragma once

#include <mlops/error.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace mlops::db {

/// A failed call of SQLite, with its extended result code. Ends the command with ExitCode::io.
class SqliteError : public Error {
 public:
  SqliteError(int code, const std::string& message, const std::string& hint = {})
      : Error(ExitCode::io, message, hint), sqlite_code_(code) {}
  int sqlite_code() const { return sqlite_code_; }
  bool refused() const;  ///< by allow_only_reading()
  bool misfit() const;   ///< the SQL and the tables do not fit each other
  bool damaged() const;  ///< the file or its log is; without its log it may pass for sound, and is older

 private:
  int sqlite_code_;
};

/// A prepared statement. Bindings keep no reference to their argument. Not thread-safe.
class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  /// Binds the arguments to ?1, ?2, … after a reset; then use step(), or run() for no rows.
  template <typename... Args>
  Statement& bind(const Args&... args) {
    reset();
    int index = 0;
    (bind_one(++index, args), ...);
    return *this;
  }
  bool step();  ///< true: there is a row
  void run();   ///< step() to the end
  void reset();

  int columns() const;
  std::string column_name(int column) const;
  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::optional<std::int64_t> maybe_integer(int column) const;
  std::optional<double> maybe_real(int column) const;
  /// The number of the parameter called `name` (":last"); 0 if the statement has none of that name.
  int parameter(const char* name) const;
  enum class Type { integer, real, text, blob, null };
  Type type(int column) const;

  void bind_one(int index, std::nullptr_t);
  void bind_one(int index, std::int64_t value);
  void bind_one(int index, int value) { bind_one(index, static_cast<std::int64_t>(value)); }
  void bind_one(int index, bool value) { bind_one(index, static_cast<std::int64_t>(value)); }
  void bind_one(int index, std::uint64_t value) { bind_one(index, static_cast<std::int64_t>(value)); }
  void bind_one(int index, double value);
  void bind_one(int index, std::string_view value);
  void bind_blob(int index, std::string_view bytes);
  void bind_one(int index, const std::string& value) { bind_one(index, std::string_view(value)); }
  void bind_one(int index, const char* value) { bind_one(index, std::string_view(value)); }
  template <typename T>
  void bind_one(int index, const std::optional<T>& value) {
    if (value) {
      bind_one(index, *value);
    } else {
      bind_one(index, nullptr);
    }
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

/// One connection; not thread-safe, not to be carried across fork().
class Connection {
 public:
  enum class Mode { read_write, read_only, immutable };
  Connection(const std::string& path, Mode mode);
  Connection(Connection&& other) noexcept;
  ~Connection();
  Connection& operator=(Connection&&) = delete;

  Statement prepare(std::string_view sql) { return Statement(db_, sql); }
  /// As prepare(), from a cache kept by this connection: for statements that run often.
  Statement& cached(std::string_view sql);
  void execute(const std::string& sql);
  /// Refuses everything but reading, also pragmas and ATTACH: for SQL that a user typed.
  void allow_only_reading();
  /// From now on no statement runs for longer than until then: it fails.
  void give_up_after(std::chrono::milliseconds time);
  int changes() const;
  /// Pages in the write-ahead log after the last commit.
  int wal_pages() const { return *wal_pages_; }
  /// Takes the log into the database; then empties a log of `short_log` pages or more, if nobody reads it.
  void checkpoint(int short_log);

 private:
  sqlite3* db_ = nullptr;
  std::map<std::string, Statement, std::less<>> cache_;
  std::unique_ptr<int> wal_pages_;
  std::unique_ptr<std::chrono::steady_clock::time_point> deadline_;
};

int sqlite_version();  ///< as 3040001
const char* sqlite_version_text();

}  // namespace mlops::db
