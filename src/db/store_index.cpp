#include "db/store_index.hpp"

#include "util/log.hpp"

#include <sqlite3.h>

#include <unistd.h>

namespace mlops::db {

namespace {

std::string_view bytes_of(const util::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

PackedObject read(const Statement& row) {
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

constexpr const char* select =
    "SELECT o.digest, p.name, o.offset, o.size FROM packed o JOIN packs p ON p.id = o.pack ";

}  // namespace

Database StoreIndex::open(const std::string& path, bool& replaced) {
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

StoreIndex::StoreIndex(const std::string& path) : database_(open(path, replaced_)) {}

std::optional<PackedObject> StoreIndex::find(const util::Digest& digest) {
  static const std::string sql = std::string(select) + "WHERE o.digest = ?";
  Statement& row = database_.connection().cached(sql);
  row.reset();
  row.bind_blob(1, bytes_of(digest));
  if (!row.step()) return std::nullopt;
  PackedObject object = read(row);
  row.reset();
  return object;
}

std::vector<std::string> StoreIndex::packs() {
  std::vector<std::string> names;
  Statement row = database_.connection().prepare("SELECT name FROM packs ORDER BY name");
  while (row.step()) names.push_back(row.text(0));
  return names;
}

std::vector<PackedObject> StoreIndex::objects_of(const std::string& pack) {
  std::vector<PackedObject> objects;
  Statement row = database_.connection().prepare(std::string(select) + "WHERE p.name = ? ORDER BY o.offset");
  row.bind(pack);
  while (row.step()) objects.push_back(read(row));
  return objects;
}

void StoreIndex::for_each_object(const std::function<void(const PackedObject&)>& on_object) {
  Statement row = database_.connection().prepare(select);
  while (row.step()) on_object(read(row));
}

void StoreIndex::add_pack(const std::string& pack, const std::vector<PackedObject>& objects) {
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

void StoreIndex::remove_pack(const std::string& pack) {
  Transaction transaction(database_);
  Connection& connection = database_.connection();
  connection.cached("DELETE FROM packed WHERE pack = (SELECT id FROM packs WHERE name = ?)").bind(pack).run();
  connection.cached("DELETE FROM packs WHERE name = ?").bind(pack).run();
  transaction.commit();
}

void StoreIndex::remove_object(const util::Digest& digest) {
  Transaction transaction(database_);
  Statement& row = database_.connection().cached("DELETE FROM packed WHERE digest = ?");
  row.reset();
  row.bind_blob(1, bytes_of(digest));
  row.run();
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
  if (entries.empty()) return;
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
