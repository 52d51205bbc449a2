#include "db/sqlite.hpp"

#include <sqlite3.h>

#include <utility>

namespace mlops::db {

namespace {

constexpr int busy_limit_ms = 30'000;

[[noreturn]] void fail(sqlite3* db, const std::string& attempt) {
  const int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
  const std::string why = db ? sqlite3_errmsg(db) : "out of memory";
  std::string hint;
  switch (code & 0xff) {
    case SQLITE_FULL:
      hint = "the disk is full: free some space and try again; nothing recorded so far is lost";
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      hint = "the file is damaged: `mlops fsck` tells how, `mlops fsck --rebuild` makes it anew";
      break;
    case SQLITE_ERROR:
      // Of our own tables; what a user asked for is answered elsewhere.
      if (why.starts_with("no such ")) hint = "is the file damaged? `mlops fsck` tells";
      break;
    case SQLITE_READONLY: hint = "the workspace is read-only here"; break;
    default: break;
  }
  const char* file = db ? sqlite3_db_filename(db, "main") : nullptr;
  const std::string where = file && *file ? " in '" + std::string(file) + "'" : "";
  throw SqliteError(code, attempt + where + ": " + why, hint);
}

}  // namespace

bool SqliteError::misfit() const { return (sqlite_code_ & 0xff) == SQLITE_ERROR; }

bool SqliteError::damaged() const {
  const int code = sqlite_code_ & 0xff;
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

bool SqliteError::refused() const { return (sqlite_code_ & 0xff) == SQLITE_AUTH; }

Statement::Statement(sqlite3* db, std::string_view sql) {
  const char* rest = nullptr;
  if (sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement_, &rest) != SQLITE_OK) {
    fail(db, "cannot prepare SQL");
  }
  const std::string_view after(rest, static_cast<std::size_t>(sql.data() + sql.size() - rest));
  if (after.find_first_not_of(" \t\r\n;") != after.npos) {
    sqlite3_finalize(statement_);
    throw SqliteError(SQLITE_MISUSE, "cannot prepare SQL: there is more than one statement in it");
  }
  if (!statement_) throw SqliteError(SQLITE_MISUSE, "cannot prepare SQL: there is no statement in it");
}

Statement::Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  fail(sqlite3_db_handle(statement_), "database");
}

void Statement::run() {
  while (step()) {}
  reset();
}

void Statement::reset() { sqlite3_reset(statement_); }

int Statement::parameter(const char* name) const { return sqlite3_bind_parameter_index(statement_, name); }

int Statement::columns() const { return sqlite3_column_count(statement_); }
std::string Statement::column_name(int column) const { return sqlite3_column_name(statement_, column); }
bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Statement::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)))
               : std::string();
}

std::optional<std::int64_t> Statement::maybe_integer(int column) const {
  return is_null(column) ? std::nullopt : std::optional(integer(column));
}

std::optional<double> Statement::maybe_real(int column) const {
  return is_null(column) ? std::nullopt : std::optional(real(column));
}

Statement::Type Statement::type(int column) const {
  switch (sqlite3_column_type(statement_, column)) {
    case SQLITE_INTEGER: return Type::integer;
    case SQLITE_FLOAT: return Type::real;
    case SQLITE_TEXT: return Type::text;
    case SQLITE_BLOB: return Type::blob;
    default: return Type::null;
  }
}

namespace {
void check_bind(sqlite3_stmt* statement, int code) {
  if (code != SQLITE_OK) fail(sqlite3_db_handle(statement), "cannot bind a value");
}
}  // namespace

void Statement::bind_one(int index, std::nullptr_t) {
  check_bind(statement_, sqlite3_bind_null(statement_, index));
}
void Statement::bind_one(int index, std::int64_t value) {
  check_bind(statement_, sqlite3_bind_int64(statement_, index, value));
}
void Statement::bind_one(int index, double value) {
  check_bind(statement_, sqlite3_bind_double(statement_, index, value));
}
void Statement::bind_one(int index, std::string_view value) {
  check_bind(statement_, sqlite3_bind_text(statement_, index, value.empty() ? "" : value.data(),
                                           static_cast<int>(value.size()), SQLITE_TRANSIENT));
}

void Statement::bind_blob(int index, std::string_view bytes) {
  check_bind(statement_, sqlite3_bind_blob(statement_, index, bytes.empty() ? "" : bytes.data(),
                                           static_cast<int>(bytes.size()), SQLITE_TRANSIENT));
}

Connection::Connection(const std::string& path, Mode mode) : wal_pages_(std::make_unique<int>(0)) {
  int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX;
  flags |= mode == Mode::read_write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      constexpr char digits[] = "0123456789ABCDEF";
      uri += {'%', digits[static_cast<unsigned char>(c) >> 4], digits[c & 15]};
    } else {
      uri += c;
    }
  }
  if (mode == Mode::immutable) uri += "?immutable=1";
  if (path == ":memory:") uri = path;
  if (sqlite3_open_v2(uri.c_str(), &db_, flags, nullptr) != SQLITE_OK) {
    const int code = db_ ? sqlite3_extended_errcode(db_) : SQLITE_NOMEM;
    const std::string why = db_ ? sqlite3_errmsg(db_) : "out of memory";
    sqlite3_close(db_);
    throw SqliteError(code, "cannot open database '" + path + "': " + why);
  }
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_timeout(db_, busy_limit_ms);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  // Replaces the automatic checkpoint: it only takes note of the log's length.
  sqlite3_wal_hook(
      db_,
      [](void* pages, sqlite3*, const char*, int n) {
        *static_cast<int*>(pages) = n;
        return SQLITE_OK;
      },
      wal_pages_.get());
}

Connection::Connection(Connection&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)),
      cache_(std::move(other.cache_)),
      wal_pages_(std::move(other.wal_pages_)),
      deadline_(std::move(other.deadline_)) {}

Connection::~Connection() {
  cache_.clear();
  sqlite3_close(db_);
}

Statement& Connection::cached(std::string_view sql) {
  const auto it = cache_.find(sql);
  if (it != cache_.end()) return it->second;
  return cache_.emplace(std::string(sql), prepare(sql)).first->second;
}

void Connection::execute(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail(db_, "database");
}

void Connection::allow_only_reading() {
  execute("PRAGMA query_only = ON");
  sqlite3_set_authorizer(
      db_,
      [](void*, int action, const char* name, const char* value, const char*, const char*) {
        switch (action) {
          case SQLITE_SELECT:
          case SQLITE_READ:
          case SQLITE_FUNCTION:
          case SQLITE_RECURSIVE: return SQLITE_OK;
          case SQLITE_PRAGMA: {
            const std::string_view pragma = name ? name : "";
            const bool harmless = pragma == "table_info" || pragma == "table_xinfo" ||
                                  pragma == "table_list" || pragma == "index_list" ||
                                  pragma == "index_info" || pragma == "foreign_key_list" ||
                                  (!value && (pragma == "user_version" || pragma == "integrity_check"));
            return harmless ? SQLITE_OK : SQLITE_DENY;
          }
          // Preparing pragma_table_info() and its like seems to write the schema; query_only forbids real
          // writes.
          case SQLITE_UPDATE:
            return name && std::string_view(name) == "sqlite_master" ? SQLITE_OK : SQLITE_DENY;
          default: return SQLITE_DENY;
        }
      },
      nullptr);
}

void Connection::give_up_after(std::chrono::milliseconds time) {
  deadline_ =
      std::make_unique<std::chrono::steady_clock::time_point>(std::chrono::steady_clock::now() + time);
  constexpr int steps_between_looks = 10'000;
  sqlite3_progress_handler(
      db_, steps_between_looks,
      [](void* deadline) {
        return std::chrono::steady_clock::now() >
                       *static_cast<std::chrono::steady_clock::time_point*>(deadline)
                   ? 1
                   : 0;
      },
      deadline_.get());
}

int Connection::changes() const { return sqlite3_changes(db_); }

void Connection::checkpoint(int short_log) {
  int log = 0, done = 0;
  // A reader may hold a part of the log back; the next checkpoint takes it.
  const int result = sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &log, &done);
  // What is left of the log is read again by each process to come, and grows: none of them could know that it
  // is in the database already. Whoever reads it at this moment keeps it for once.
  if (result != SQLITE_OK || done < log || log < short_log) return;
  sqlite3_busy_timeout(db_, 0);
  sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(db_, busy_limit_ms);
}

int sqlite_version() { return sqlite3_libversion_number(); }
const char* sqlite_version_text() { return sqlite3_libversion(); }

}  // namespace mlops::db
