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
    embedded::_0001_initial_sql,
    embedded::_0002_cache_sql,
};
constexpr std::string_view index_migrations[] = {
    embedded::index_0001_sql,
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

void refuse_newer(int version, int known, const std::string& path) {
  if (version <= known) return;
  throw Error(ExitCode::io,
              "cannot use '" + path + "': its schema is version " + std::to_string(version) +
                  ", this mlops knows up to version " + std::to_string(known),
              "update mlops to the version that wrote it, or a later one");
}

}  // namespace

int schema_version() { return static_cast<int>(std::size(workspace_migrations)); }

Database Database::open(const std::string& path, Schema schema) {
  const auto migrations = migrations_of(schema);
  const int newest = static_cast<int>(migrations.size());
  // SQLite would create it readable for all.
  if (!util::exists(path)) util::open_file(path, O_RDWR | O_CREAT, 0600);
  util::Fd lock;
  if (needs_write_lock()) lock = util::open_file(path + ".lock", O_RDWR | O_CREAT, 0600);
  Database database(Connection(path, Connection::Mode::read_write), std::move(lock), true, false);
  Connection& connection = database.connection_;
  connection.execute("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY");
  const int version = stored_version(connection);
  refuse_newer(version, newest, path);
  if (version < newest) {
    {
      // The journal mode cannot change within a transaction, but two processes may be creating the database.
      if (database.lock_ && !util::lock_fd(database.lock_.get(), lock_limit_ms)) {
        throw Error(ExitCode::io, "cannot prepare '" + path + "': another process holds its lock",
                    "see who with `fuser " + path + ".lock`");
      }
      // The log needs memory that all its users share, which a network file system does not give.
      const bool shared_memory = util::network_file_system(path).empty();
      connection.execute(shared_memory ? "PRAGMA journal_mode = WAL" : "PRAGMA journal_mode = DELETE");
      if (database.lock_) util::unlock_fd(database.lock_.get());
    }
    Transaction transaction(database, Durability::full);
    for (int i = stored_version(connection); i < newest; ++i) {
      connection.execute(std::string(migrations[static_cast<std::size_t>(i)]));
      connection.execute("PRAGMA user_version = " + std::to_string(i + 1));
    }
    transaction.commit();
  }
  return database;
}

Database Database::open_to_read(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno != ENOENT) throw_errno("cannot open '" + path + "'", errno);
    throw Error(ExitCode::io, "cannot open '" + path + "': there is no such file",
                "nothing has run in this workspace yet: start with `mlops run FILE`");
  }
  // Three ways, from the best to the last resort: with the log's shared memory, with a log that cannot be
  // shared, and as a file that nobody is believed to change.
  if (::access(path.c_str(), W_OK) == 0) {
    try {
      Database database = open(path);
      database.connection_.prepare("SELECT count(*) FROM sqlite_schema").step();
      return database;
    } catch (const SqliteError& error) {
      util::log_debug(std::string("opening the database to write failed: ") + error.what());
    }
  }
  for (const auto mode : {Connection::Mode::read_only, Connection::Mode::immutable}) {
    try {
      Connection connection(path, mode);
      refuse_newer(stored_version(connection), schema_version(), path);
      connection.prepare("SELECT count(*) FROM sqlite_schema").step();
      struct stat wal {};
      const bool stale = mode == Connection::Mode::immutable && ::stat((path + "-wal").c_str(), &wal) == 0 &&
                         wal.st_size > 0;
      return Database(std::move(connection), util::Fd(), false, stale);
    } catch (const SqliteError& error) {
      if (mode == Connection::Mode::immutable) throw;
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
  if (database_.connection_.wal_pages() >= checkpoint_pages) database_.connection_.checkpoint();
  if (database_.lock_) util::unlock_fd(database_.lock_.get());
}

}  // namespace mlops::db
