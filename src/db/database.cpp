#include "db/database.hpp"

#include "embedded/migrations.hpp"
#include "util/failpoint.hpp"
#include "util/fd_lock.hpp"
#include "util/file_system.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <span>
#include <string_view>

namespace mlops::db {

namespace {

// In order; an entry is never changed once it was released. To add one: a new file NNNN_what.sql in
// migrations/, its name here, and a line in docs/workspace.md.
constexpr std::string_view workspace_migrations[] = {
    embedded::_0001_initial_sql,   embedded::_0002_cache_sql,    embedded::_0003_indexes_sql,
    embedded::_0004_lineage_sql,   embedded::_0005_datasets_sql, embedded::_0006_step_indexes_sql,
    embedded::_0007_schedules_sql, embedded::_0008_tags_sql,     embedded::_0009_queue_sql,
    embedded::_0010_backfills_sql, embedded::_0011_triggers_sql, embedded::_0012_outbox_sql,
    embedded::_0013_promises_sql,  embedded::_0014_absences_sql,
};
constexpr std::string_view index_migrations[] = {
    embedded::index_0001_sql,
    embedded::index_0002_sql,
    embedded::index_0003_sql,
};

std::span<const std::string_view> migrations_of(Schema schema) {
  if (schema == Schema::store_index) return index_migrations;
  return workspace_migrations;
}

constexpr int lock_limit_ms = 60'000;
constexpr int checkpoint_pages = 1'000;

bool needs_write_lock() { return sqlite_version() < 3051003; }

int stored_version(Connection& connection) {
  Statement statement = connection.prepare("PRAGMA user_version");
  statement.step();
  return static_cast<int>(statement.integer(0));
}

// As a copy does that SQLite has made of one.
bool lacks_log(Connection& connection, const std::string& path) {
  Statement mode = connection.prepare("PRAGMA journal_mode");
  return mode.step() && mode.text(0) != "wal" && util::network_file_system(path).empty();
}

void refuse_newer(int version, int known, const std::string& path) {
  if (version <= known) return;
  throw Error(ExitCode::io,
              "cannot use '" + path + "': its schema is version " + std::to_string(version) +
                  ", this mlops knows up to version " + std::to_string(known),
              "update mlops to the version that wrote it, or a later one");
}

[[noreturn]] void say_that_nothing_ran(const std::string& path, const char* why) {
  throw Error(ExitCode::io, "cannot open '" + path + "': " + why,
              "nothing has run in this workspace yet: start with `mlops run FILE`");
}

void require_no_tables(Connection& connection, const std::string& path) {
  Statement tables = connection.prepare("SELECT count(*) FROM sqlite_schema");
  if (!tables.step() || tables.integer(0) == 0) return;
  throw Error(
      ExitCode::io,
      "will not use '" + path + "': by its version it is none of mlops, and there are tables in it",
      "move it away; `mlops fsck --rebuild` then makes a new one of what the directories of runs have");
}

// A look must not change the form of a database: an older mlops could not use it any more.
void check_schema(Connection& connection, const std::string& path, Schema schema) {
  const int version = stored_version(connection);
  const int newest = static_cast<int>(migrations_of(schema).size());
  refuse_newer(version, newest, path);
  if (version == 0) {
    require_no_tables(connection, path);
    say_that_nothing_ran(path, "there is nothing in it");
  }
  if (version == newest) return;
  throw Error(ExitCode::io,
              "cannot read '" + path + "': its schema is version " + std::to_string(version) +
                  ", this mlops reads version " + std::to_string(newest),
              "any `mlops run` in this workspace brings it up to date; mlops of before cannot use it then");
}

void bring_to_next(Connection& connection, std::string_view migration, int version, const std::string& path) {
  try {
    connection.execute(std::string(migration));
  } catch (const SqliteError& error) {
    if (!error.misfit()) throw;
    throw Error(ExitCode::io,
                "cannot bring '" + path + "' to the schema after version " + std::to_string(version) + ": " +
                    error.what(),
                "its tables are not of the version that it names: `mlops fsck --rebuild` makes it anew from "
                "what is there");
  }
}

void require_file(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0) {
    if (S_ISREG(st.st_mode)) return;
    throw Error(
        ExitCode::io, "cannot open '" + path + "': it is no regular file",
        "move it away: `mlops run FILE` makes a new one, and `mlops db restore` puts a copy in its place");
  }
  if (errno != ENOENT) throw_errno("cannot open '" + path + "'", errno);
  say_that_nothing_ran(path, "there is no such file");
}

}  // namespace

int schema_version() { return static_cast<int>(std::size(workspace_migrations)); }

Database Database::connect(const std::string& path) {
  util::Fd lock;
  if (needs_write_lock()) lock = util::open_file(path + ".lock", O_RDWR | O_CREAT, 0600);
  Database database(Connection(path, Connection::Mode::read_write), std::move(lock), true, false);
  database.connection_.execute(
      "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; "
      "PRAGMA cache_size = -16000");
  return database;
}

void Database::keep_few_pages() { connection_.execute("PRAGMA cache_size = -512"); }

void Database::migrate(const std::string& path, std::span<const std::string_view> migrations) {
  // The journal mode cannot change within a transaction, but two processes may be creating the database.
  if (lock_ && !util::lock_fd(lock_.get(), lock_limit_ms)) {
    throw Error(ExitCode::io, "cannot prepare '" + path + "': another process holds its lock",
                "see who with `fuser " + path + ".lock`");
  }
  // The log needs memory that all its users share, which a network file system does not give.
  const bool shared_memory = util::network_file_system(path).empty();
  connection_.execute(shared_memory ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE");
  if (lock_) util::unlock_fd(lock_.get());
  Transaction transaction(*this, Durability::full);
  const int newest = static_cast<int>(migrations.size());
  const int version = stored_version(connection_);
  for (int i = version; i < newest; ++i) {
    bring_to_next(connection_, migrations[static_cast<std::size_t>(i)], i, path);
    connection_.execute("PRAGMA user_version = " + std::to_string(i + 1));
  }
  transaction.commit();
}

Database Database::open(const std::string& path, Schema schema) {
  const auto migrations = migrations_of(schema);
  // SQLite would create it readable for all.
  if (!util::exists(path)) util::open_file(path, O_RDWR | O_CREAT, 0600);
  require_file(path);
  Database database = connect(path);
  // The index can be made anew, and each add of a file ends with a checkpoint.
  if (schema == Schema::store_index) database.short_log_ = 64;
  const int version = stored_version(database.connection_), newest = static_cast<int>(migrations.size());
  refuse_newer(version, newest, path);
  if (version == 0) require_no_tables(database.connection_, path);
  if (version < newest || lacks_log(database.connection_, path)) database.migrate(path, migrations);
  return database;
}

Database Database::empty() {
  Database database(Connection(":memory:", Connection::Mode::read_write), util::Fd(), false, false);
  for (const std::string_view migration : migrations_of(Schema::workspace))
    database.connection_.execute(std::string(migration));
  return database;
}

Database Database::open_existing(const std::string& path) {
  require_file(path);
  return open(path);
}

Database Database::open_to_read(const std::string& path, Access access, Schema schema) {
  require_file(path);
  // Three ways, from the best to the last resort: with the log's shared memory, with a log that cannot be
  // shared, and as a file that nobody is believed to change.
  if (access == Access::write && ::access(path.c_str(), W_OK) == 0) {
    try {
      Database database = connect(path);
      check_schema(database.connection_, path, schema);
      database.connection_.prepare("SELECT count(*) FROM sqlite_schema").step();
      return database;
    } catch (const Error& error) {
      const auto* const sqlite = dynamic_cast<const SqliteError*>(&error);
      if (sqlite && sqlite->damaged()) throw;
      util::log_debug(std::string("opening the database to write failed: ") + error.what());
    }
  }
  for (const auto mode : {Connection::Mode::read_only, Connection::Mode::immutable}) {
    try {
      Connection connection(path, mode);
      check_schema(connection, path, schema);
      connection.prepare("SELECT count(*) FROM sqlite_schema").step();
      struct stat wal {};
      const bool stale = mode == Connection::Mode::immutable && ::stat((path + "-wal").c_str(), &wal) == 0 &&
                         wal.st_size > 0;
      return Database(std::move(connection), util::Fd(), false, stale);
    } catch (const SqliteError& error) {
      if (mode == Connection::Mode::immutable || error.damaged()) throw;
      util::log_debug(std::string("opening the database read-only failed: ") + error.what());
    }
  }
  throw Error(ExitCode::io, "cannot open '" + path + "'");
}

Transaction::Transaction(Database& database, Durability durability) : database_(database) {
  if (!database.writable_) {
    throw Error(ExitCode::io, "cannot write to the database: the workspace is read-only here");
  }
  if (database.durability_ != durability) {
    database.connection_.execute(durability == Durability::full ? "PRAGMA synchronous = FULL"
                                                                : "PRAGMA synchronous = NORMAL");
    database.durability_ = durability;
  }
  if (database.lock_ && !util::lock_fd(database.lock_.get(), lock_limit_ms)) {
    throw Error(ExitCode::busy,
                "cannot write to the database: another process has held its lock for a minute",
                "a stopped mlops process may hold it: see `mlops status`, and continue or end that process");
  }
  try {
    database.connection_.cached("BEGIN IMMEDIATE").bind().run();
    open_ = true;
  } catch (...) {
    if (database.lock_) util::unlock_fd(database.lock_.get());
    throw;
  }
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.connection_.execute("ROLLBACK");
  } catch (const std::exception& error) {
    // SQLite has rolled back by itself when the disk was full.
    util::log_debug(std::string("rollback: ") + error.what());
  }
  if (database_.lock_) util::unlock_fd(database_.lock_.get());
}

void Transaction::commit() {
  if (const int error = util::failpoint("commit")) throw_errno("cannot commit", error);
  database_.connection_.cached("COMMIT").bind().run();
  open_ = false;
  if (const int error = util::failpoint("committed")) throw_errno("cannot go on", error);
  // The end of a run also goes into mlops.db itself, so that a copy or a read-only look has it.
  const bool due = database_.connection_.wal_pages() >= checkpoint_pages;
  if (due || database_.durability_ == Durability::full)
    database_.connection_.checkpoint(database_.short_log_);
  if (database_.lock_) util::unlock_fd(database_.lock_.get());
}

}  // namespace mlops::db
