#include "db/copies.hpp"

#include <mlops/error.hpp>

#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

namespace mlops::db {

namespace {

constexpr int most_lines = 10;
constexpr const char* dangling = " that is not there";
constexpr int copy_lock_limit_ms = 5'000;

std::string directory_of(const std::string& path) {
  return std::filesystem::path(util::absolute_path(path)).parent_path().string();
}

void sync(const std::string& path, int flags) {
  const util::Fd fd = util::open_file(path, flags);
  if (::fsync(fd.get()) != 0) throw_errno("cannot write '" + path + "' to disk", errno);
}

// Who has the database open, but for this process: each connection holds a lock on a byte of the shared
// memory (https://www.sqlite.org/walformat.html, WAL_DMS).
std::optional<pid_t> user_of(const std::string& path) {
  const util::Fd fd(::open((path + "-shm").c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_start = 128;
  lock.l_len = 1;
  if (!fd || ::fcntl(fd.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid;
}

// A log of changes belongs to the file beside it: with another one it would damage that.
void fold_log_in(const std::string& path) {
  try {
    Connection connection(path, Connection::Mode::read_write);
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch (const SqliteError&) {
    // Too damaged to be opened: its log goes aside with it.
  }
  if (const auto pid = user_of(path))
    throw Error(ExitCode::busy,
                "cannot replace '" + path + "': process " + std::to_string(*pid) + " has it open",
                "end the daemon, workers and runs of this workspace, and try again");
}

}  // namespace

void copy_database(Connection& from, const std::string& path) {
  if (util::exists(path))
    throw Error(ExitCode::usage, "will not write to '" + path + "': it exists",
                "name a file that is not there yet");
  const std::string partial = path + ".partial";
  ::unlink(partial.c_str());
  // SQLite would make it readable for everybody.
  util::open_file(partial, O_WRONLY | O_CREAT | O_EXCL, 0600);
  try {
    from.prepare("VACUUM INTO ?").bind(partial).run();
    sync(partial, O_RDONLY);
    if (::rename(partial.c_str(), path.c_str()) != 0) throw_errno("cannot rename '" + partial + "'", errno);
    sync(directory_of(path), O_RDONLY | O_DIRECTORY);
  } catch (...) {
    ::unlink(partial.c_str());
    throw;
  }
}

void copy_database(const std::string& from, const std::string& path) {
  for (const auto mode : {Connection::Mode::read_only, Connection::Mode::immutable}) {
    try {
      Connection connection(from, mode);
      return copy_database(connection, path);
    } catch (const SqliteError& error) {
      if (mode == Connection::Mode::immutable || error.damaged()) throw;
    }
  }
}

std::vector<std::string> find_damage(const std::string& path, Schema schema) {
  if (!util::exists(path)) throw Error(ExitCode::io, "cannot open '" + path + "': there is no such file");
  std::vector<std::string> lines;
  for (const auto mode : {Connection::Mode::read_only, Connection::Mode::immutable}) {
    lines.clear();
    try {
      Connection connection(path, mode);
      // The index of a store in which nothing is yet, as after a disk that was full.
      if (schema == Schema::store_index) {
        Statement any = connection.prepare("SELECT count(*) FROM sqlite_schema");
        if (any.step() && any.integer(0) == 0) return lines;
      }
      Statement tables =
          connection.prepare(schema == Schema::workspace
                                 ? "SELECT count(*) FROM sqlite_schema WHERE name IN ('runs', 'definitions')"
                                 : "SELECT count(*) FROM sqlite_schema WHERE name IN ('packs', 'packed')");
      if (!tables.step() || tables.integer(0) != 2)
        throw Error(ExitCode::usage, "'" + path + "' is no database of mlops");
      Statement check = connection.prepare("PRAGMA integrity_check(" + std::to_string(most_lines) + ")");
      while (check.step()) {
        if (check.text(0) != "ok") lines.push_back(check.text(0));
      }
      Statement keys = connection.prepare("PRAGMA foreign_key_check");
      while (lines.size() < most_lines && keys.step())
        lines.push_back("a row of " + keys.text(0) + " refers to one of " + keys.text(2) + dangling);
      return lines;
    } catch (const SqliteError& error) {
      if (mode == Connection::Mode::read_only && !error.damaged()) continue;
      lines.push_back(error.what());
      return lines;
    }
  }
  return lines;
}

std::string in_the_way(const std::string& path) {
  for (const char* ending : {"-wal", "-shm"}) {
    struct stat st {};
    if (::lstat((path + ending).c_str(), &st) == 0 && !S_ISREG(st.st_mode)) return path + ending;
  }
  return {};
}

bool only_indexes(const std::vector<std::string>& damage) {
  return !damage.empty() && std::ranges::all_of(damage, [](const std::string& line) {
    return line.find(" missing from index ") != line.npos ||
           line.starts_with("wrong # of entries in index ") || line.starts_with("non-unique entry in index ");
  });
}

bool only_references(const std::vector<std::string>& damage) {
  return !damage.empty() && std::ranges::all_of(damage, [](const std::string& line) {
    return line.starts_with("a row of ") && line.ends_with(dangling);
  });
}

namespace {
std::map<std::string, std::string> schema_of(Connection& connection) {
  std::map<std::string, std::string> all;
  Statement row = connection.prepare(
      "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE "
      "'sqlite_%'");
  while (row.step()) all.emplace(row.text(0), row.text(1));
  return all;
}
}  // namespace

std::vector<std::string> foreign_schema(Connection& connection) {
  Database fresh = Database::empty();
  const auto should = schema_of(fresh.connection()), is = schema_of(connection);
  std::vector<std::string> names;
  for (const auto& [name, sql] : should) {
    const auto found = is.find(name);
    if (found == is.end() || found->second != sql) names.push_back(name);
  }
  return names;
}

bool has_this_schema(Connection& connection) {
  Database fresh = Database::empty();
  return schema_of(fresh.connection()) == schema_of(connection);
}

std::string time_in_name() {
  std::string time = util::format_utc(util::now());
  std::ranges::replace(time, ' ', 'T');
  std::erase(time, ':');
  return time + "Z";
}

void replace_database(const std::string& path, const std::string& copy, const std::string& aside) {
  const util::Fd lock = util::open_file(path + ".lock", O_RDWR | O_CREAT, 0600);
  if (!util::lock_fd(lock.get(), copy_lock_limit_ms))
    throw Error(ExitCode::busy, "cannot replace '" + path + "': another process writes to it",
                "try again when it has ended");
  const bool there = util::exists(path);
  if (there) fold_log_in(path);
  sync(copy, O_RDONLY);
  if (there) {
    if (::renameat2(AT_FDCWD, copy.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) != 0)
      throw_errno("cannot put '" + copy + "' in the place of '" + path + "'", errno);
    if (::rename(copy.c_str(), aside.c_str()) != 0) throw_errno("cannot rename '" + copy + "'", errno);
  } else if (::rename(copy.c_str(), path.c_str()) != 0) {
    throw_errno("cannot rename '" + copy + "' to '" + path + "'", errno);
  }
  if (util::file_size(path + "-wal") > 0) ::rename((path + "-wal").c_str(), (aside + "-wal").c_str());
  for (const char* part : {"-wal", "-shm"}) ::unlink((path + part).c_str());
  sync(directory_of(path), O_RDONLY | O_DIRECTORY);
}

}  // namespace mlops::db
