#include "db/store_index.hpp"

#include "util/log.hpp"

#include <sqlite3.h>

#include <unistd.h>

#include <algorithm>

namespace mlops::db {

namespace {

std::string_view bytes_of(const util::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

PackedObject read_object(const Statement& row) {
  PackedObject object;
  object.digest = util::Digest::from_bytes(row.text(0)).value_or(util::Digest());
  object.pack = row.text(1);
  object.offset = static_cast<std::uint64_t>(row.integer(2));
  object.size = static_cast<std::uint64_t>(row.integer(3));
  return object;
}

bool is_damage(const SqliteError& error) {
  const int code = error.sqlite_code() & 0xff;
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

// There what is known is still worth a look, though nothing can be added.
bool is_read_only(const std::string& path) {
  return ::access(path.c_str(), R_OK) == 0 && ::access(path.c_str(), W_OK) != 0;
}

constexpr const char* select_object =
    "SELECT o.digest, p.name, o.offset, o.size FROM packed o JOIN packs p ON p.id = o.pack ";

}  // namespace

Database StoreIndex::open(const std::string& path, bool& replaced) {
  if (is_read_only(path)) return Database::open_to_read(path, Access::read_only, Schema::store_index);
  try {
    Database database = Database::open(path, Schema::store_index);
    database.connection().prepare("SELECT count(*) FROM packs").step();
    return database;
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    util::log_warning(std::string("the index of the store is damaged and is made anew: ") + error.what());
  }
  for (const char* ending : {"", "-wal", "-shm"}) ::unlink((path + ending).c_str());
  replaced = true;
  return Database::open(path, Schema::store_index);
}

StoreIndex::StoreIndex(const std::string& path) : database_(open(path, replaced_)) {
  // A reference to a pack need not be looked up: whoever adds an object has just added its pack.
  database_.connection().execute("PRAGMA foreign_keys = OFF; PRAGMA cache_size = -16000");
}

std::optional<PackedObject> StoreIndex::find(const util::Digest& digest) {
  static const std::string sql = std::string(select_object) + "WHERE o.digest = ?";
  Statement& row = database_.connection().cached(sql);
  row.reset();
  row.bind_blob(1, bytes_of(digest));
  if (!row.step()) return std::nullopt;
  PackedObject object = read_object(row);
  row.reset();
  return object;
}

std::vector<std::string> StoreIndex::packs() {
  std::vector<std::string> names;
  Statement row = database_.connection().prepare("SELECT name FROM packs ORDER BY name");
  while (row.step()) names.push_back(row.text(0));
  return names;
}

void StoreIndex::find_all(std::span<const util::Digest> digests,
                          const std::function<void(std::size_t, std::string)>& on_found) {
  Connection& connection = database_.connection();
  // One transaction for reading instead of one a row.
  connection.cached("BEGIN").bind().run();
  Statement& row =
      connection.cached("SELECT p.name FROM packed o JOIN packs p ON p.id = o.pack WHERE o.digest = ?");
  try {
    for (std::size_t i = 0; i < digests.size(); ++i) {
      row.reset();
      row.bind_blob(1, bytes_of(digests[i]));
      if (row.step()) on_found(i, row.text(0));
    }
  } catch (...) {
    row.reset();
    connection.execute("ROLLBACK");
    throw;
  }
  row.reset();
  connection.cached("COMMIT").bind().run();
}

std::map<std::int64_t, std::string> StoreIndex::pack_numbers() {
  std::map<std::int64_t, std::string> numbers;
  Statement row = database_.connection().prepare("SELECT id, name FROM packs");
  while (row.step()) numbers.emplace(row.integer(0), row.text(1));
  return numbers;
}

void StoreIndex::for_each_object(
    const std::function<void(const util::Digest&, std::int64_t, std::uint64_t)>& on_object) {
  Statement row = database_.connection().prepare("SELECT digest, pack, size FROM packed");
  while (row.step())
    on_object(util::Digest::from_bytes(row.text(0)).value_or(util::Digest()), row.integer(1),
              static_cast<std::uint64_t>(row.integer(2)));
}

void StoreIndex::add_pack(const std::string& pack, const std::vector<PackedObject>& objects) {
  if (!database_.writable()) return;
  Transaction transaction(database_);
  Connection& connection = database_.connection();
  std::uint64_t bytes = 0;
  for (const PackedObject& object : objects) bytes += object.size;
  connection.cached("INSERT OR IGNORE INTO packs (name, objects, bytes) VALUES (?, ?, ?)")
      .bind(pack, static_cast<std::int64_t>(objects.size()), bytes)
      .run();
  Statement& id = connection.cached("SELECT id FROM packs WHERE name = ?").bind(pack);
  id.step();
  const std::int64_t number = id.integer(0);
  id.reset();
  Statement& insert = connection.cached("INSERT OR REPLACE INTO packed VALUES (?, ?, ?, ?)");
  for (const PackedObject& object : objects) {
    insert.reset();
    insert.bind_blob(1, bytes_of(object.digest));
    insert.bind_one(2, number);
    insert.bind_one(3, object.offset);
    insert.bind_one(4, object.size);
    insert.run();
  }
  transaction.commit();
}

void StoreIndex::remove_packs(const std::vector<std::string>& packs) {
  if (!database_.writable()) return;
  // Objects have no index by pack, which would double the cost of adding them: one look at all of them takes
  // many packs away. Durably: their files go next, and after a power loss an index that still knows them
  // would vouch for contents that are nowhere.
  constexpr std::size_t at_once = 256;
  for (std::size_t begin = 0; begin < packs.size(); begin += at_once) {
    Transaction transaction(database_, Durability::full);
    Connection& connection = database_.connection();
    std::string numbers;
    for (std::size_t i = begin; i < std::min(packs.size(), begin + at_once); ++i) {
      Statement& row = connection.cached("SELECT id FROM packs WHERE name = ?").bind(packs[i]);
      if (row.step()) numbers += (numbers.empty() ? "" : ", ") + std::to_string(row.integer(0));
      row.reset();
    }
    connection.execute("DELETE FROM packed WHERE pack IN (" + numbers + ")");
    connection.execute("DELETE FROM packs WHERE id IN (" + numbers + ")");
    transaction.commit();
  }
}

void StoreIndex::remove_objects(const std::vector<util::Digest>& digests) {
  Transaction transaction(database_);
  Statement& row = database_.connection().cached("DELETE FROM packed WHERE digest = ?");
  for (const util::Digest& digest : digests) {
    row.reset();
    row.bind_blob(1, bytes_of(digest));
    row.run();
  }
  transaction.commit();
}

std::string StoreIndex::directory(std::string_view path) {
  Statement& row = database_.connection().cached("SELECT entries FROM directories WHERE path = ?").bind(path);
  std::string entries = row.step() ? row.text(0) : std::string();
  row.reset();
  return entries;
}

void StoreIndex::directories(
    const std::vector<std::string>& paths,
    const std::function<void(const std::string& path, std::string entries)>& on_entries) {
  database_.connection().execute("BEGIN");
  for (const std::string& path : paths) on_entries(path, directory(path));
  database_.connection().execute("COMMIT");
}

void StoreIndex::put_directories(const std::vector<std::pair<std::string, std::string>>& entries) {
  if (entries.empty() || !database_.writable()) return;  // the files are read again next time
  Transaction transaction(database_);
  Connection& connection = database_.connection();
  for (const auto& [path, text] : entries) {
    if (text.empty()) {
      connection.cached("DELETE FROM directories WHERE path = ?").bind(path).run();
      continue;
    }
    Statement& insert = connection.cached("INSERT OR REPLACE INTO directories VALUES (?, ?)");
    insert.reset();
    insert.bind_one(1, path);
    insert.bind_blob(2, text);
    insert.run();
  }
  transaction.commit();
}

}  // namespace mlops::db
