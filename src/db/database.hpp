// The workspace's database: how it is opened, migrated and written to.
#pragma once

#include "db/sqlite.hpp"
#include "util/fd.hpp"

#include <span>
#include <string>
#include <string_view>

namespace mlops::db {

/// How much a commit must survive: `normal` the end of the process, `full` the loss of power.
enum class Durability { normal, full };

/// What a command that only looks may do: bring runs of dead runners up to date, or nothing.
enum class Access { write, read_only };

/// Which tables a database has.
enum class Schema { workspace, store_index };

/// One write connection. Not thread-safe, not to be carried across fork().
class Database {
 public:
  /// Opens `path`, creates and migrates it as needed. Throws SqliteError, or Error(io) when the database is
  /// of a newer version of mlops.
  static Database open(const std::string& path, Schema schema = Schema::workspace);

  /// For commands that change what is there: as open(), but throws Error(io) when there is no database yet.
  static Database open_existing(const std::string& path);

  /// For commands that only look. Works in a directory that cannot be written to; then what other processes
  /// wrote last may be missing, and `stale()` says so. Creates and migrates nothing: throws Error(io) when
  /// the schema is not of this version.
  static Database open_to_read(const std::string& path, Access access = Access::write,
                               Schema schema = Schema::workspace);

  /// In memory, with the tables and nothing in them: what a workspace has before its first run. Not
  /// writable().
  static Database empty();

  /// For a process that lives for weeks: keeps half a MiB of pages at the most, instead of 16.
  void keep_few_pages();

  Connection& connection() { return connection_; }
  bool writable() const { return writable_; }
  bool stale() const { return stale_; }

 private:
  friend class Transaction;
  Database(Connection connection, util::Fd lock, bool writable, bool stale)
      : connection_(std::move(connection)), lock_(std::move(lock)), writable_(writable), stale_(stale) {}

  static Database connect(const std::string& path);
  void migrate(const std::string& path, std::span<const std::string_view> migrations);

  Connection connection_;
  // SQLite before 3.51.3 can corrupt a write-ahead log that two connections write or checkpoint at the same
  // moment, so there every write transaction and checkpoint happens under this file's lock.
  util::Fd lock_;
  bool writable_;
  bool stale_;
  Durability durability_ = Durability::normal;
  // A log that a checkpoint has taken in as a whole is emptied from so many pages on. An empty one may be
  // lost, and mlops.db be copied or put back without it; one of few pages is read sooner than it is emptied.
  int short_log_ = 1;
};

/// A write transaction: begins immediately, is rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database, Durability durability = Durability::normal);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = false;
};

/// The version of the schema that this program writes.
int schema_version();

}  // namespace mlops::db
