#include "db/locations.hpp"

#include "util/time.hpp"

namespace mlops::db {

namespace {

std::string_view bytes_of(const util::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

std::int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(util::now().time_since_epoch()).count();
}

Location read(const Statement& row, const util::Digest& digest) {
  return {digest, row.text(0), static_cast<std::uint64_t>(row.integer(1)),
          static_cast<std::uint64_t>(row.integer(2)), Instant(std::chrono::seconds(row.integer(3)))};
}

}  // namespace

std::int64_t Locations::remote(const std::string& name, const std::string& identity) {
  Connection& connection = database_.connection();
  Statement& known = connection.cached("SELECT id, name FROM remotes WHERE identity = ?").bind(identity);
  std::optional<std::int64_t> id;
  if (known.step() && known.text(1) == name) id = known.integer(0);
  known.reset();
  if (id) return *id;
  Transaction transaction(database_);
  connection
      .cached(
          "INSERT INTO remotes (name, identity) VALUES (?, ?) ON CONFLICT (identity) DO UPDATE SET name = "
          "excluded.name")
      .bind(name, identity)
      .run();
  // Another one at its place: of what was there before, nothing is known any more.
  connection.cached("DELETE FROM remotes WHERE name = ? AND identity <> ?").bind(name, identity).run();
  known.bind(identity);
  known.step();
  id = known.integer(0);
  known.reset();
  transaction.commit();
  return *id;
}

std::optional<std::string> Locations::identity_of(const std::string& name) {
  Statement row = database_.connection().prepare("SELECT identity FROM remotes WHERE name = ?");
  row.bind(name);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

void Locations::forget(const std::string& name) {
  Transaction transaction(database_);
  database_.connection().cached("DELETE FROM remotes WHERE name = ?").bind(name).run();
  transaction.commit();
}

// Another process may have found that another remote is at its place: then this one's knowledge is of no use.
bool Locations::is_known(std::int64_t remote) {
  Statement& row = database_.connection().cached("SELECT 1 FROM remotes WHERE id = ?").bind(remote);
  const bool known = row.step();
  row.reset();
  return known;
}

std::optional<Location> Locations::find(std::int64_t remote, const util::Digest& digest) {
  Statement& row = database_.connection().cached(R"sql(
    SELECT coalesce(p.name, ''), l.offset, l.size, l.seen
    FROM locations l LEFT JOIN remote_packs p ON p.id = l.pack WHERE l.digest = ?1 AND l.remote = ?2
  )sql");
  row.reset();
  row.bind_blob(1, bytes_of(digest));
  row.bind_one(2, remote);
  std::optional<Location> location;
  if (row.step()) location = read(row, digest);
  row.reset();
  return location;
}

std::vector<RemoteLocation> Locations::everywhere(const util::Digest& digest) {
  Statement row = database_.connection().prepare(R"sql(
    SELECT coalesce(p.name, ''), l.offset, l.size, l.seen, r.name
    FROM locations l JOIN remotes r ON r.id = l.remote LEFT JOIN remote_packs p ON p.id = l.pack
    WHERE l.digest = ?1 ORDER BY r.name
  )sql");
  row.bind_blob(1, bytes_of(digest));
  std::vector<RemoteLocation> list;
  while (row.step()) list.push_back({row.text(4), read(row, digest)});
  return list;
}

std::vector<std::string> Locations::packs(std::int64_t remote) {
  Statement row =
      database_.connection().prepare("SELECT name FROM remote_packs WHERE remote = ? ORDER BY name");
  row.bind(remote);
  std::vector<std::string> names;
  while (row.step()) names.push_back(row.text(0));
  return names;
}

void Locations::add_pack(std::int64_t remote, const std::string& pack,
                         const std::vector<PackedObject>& objects) {
  Transaction transaction(database_);
  if (!is_known(remote)) return;
  Connection& connection = database_.connection();
  connection.cached("INSERT OR IGNORE INTO remote_packs (remote, name) VALUES (?, ?)")
      .bind(remote, pack)
      .run();
  Statement& id =
      connection.cached("SELECT id FROM remote_packs WHERE remote = ? AND name = ?").bind(remote, pack);
  id.step();
  const std::int64_t number = id.integer(0), now = seconds_now();
  id.reset();
  Statement& insert = connection.cached("INSERT OR REPLACE INTO locations VALUES (?, ?, ?, ?, ?, ?)");
  for (const PackedObject& object : objects) {
    insert.reset();
    insert.bind_blob(1, bytes_of(object.digest));
    insert.bind_one(2, remote);
    insert.bind_one(3, number);
    insert.bind_one(4, object.offset);
    insert.bind_one(5, object.size);
    insert.bind_one(6, now);
    insert.run();
  }
  transaction.commit();
}

void Locations::forget_pack(std::int64_t remote, const std::string& pack) {
  Transaction transaction(database_);
  database_.connection()
      .cached("DELETE FROM remote_packs WHERE remote = ? AND name = ?")
      .bind(remote, pack)
      .run();
  transaction.commit();
}

void Locations::add_files(std::int64_t remote, const std::vector<Location>& files) {
  if (files.empty()) return;
  Transaction transaction(database_);
  if (!is_known(remote)) return;
  Statement& insert = database_.connection().cached(
      "INSERT OR REPLACE INTO locations (digest, remote, pack, offset, size, seen) VALUES (?, ?, NULL, 0, ?, "
      "?)");
  const std::int64_t now = seconds_now();
  for (const Location& file : files) {
    insert.reset();
    insert.bind_blob(1, bytes_of(file.digest));
    insert.bind_one(2, remote);
    insert.bind_one(3, file.size);
    insert.bind_one(4, now);
    insert.run();
  }
  transaction.commit();
}

void Locations::forget_file(std::int64_t remote, const util::Digest& digest) {
  Transaction transaction(database_);
  Statement& row = database_.connection().cached(
      "DELETE FROM locations WHERE digest = ?1 AND remote = ?2 AND pack IS NULL");
  row.reset();
  row.bind_blob(1, bytes_of(digest));
  row.bind_one(2, remote);
  row.run();
  transaction.commit();
}

std::map<std::string, std::uint64_t> Locations::runs(std::int64_t remote) {
  Statement row = database_.connection().prepare("SELECT run_id, size FROM remote_runs WHERE remote = ?");
  row.bind(remote);
  std::map<std::string, std::uint64_t> sizes;
  while (row.step()) sizes[row.text(0)] = static_cast<std::uint64_t>(row.integer(1));
  return sizes;
}

void Locations::put_runs(std::int64_t remote, const std::map<std::string, std::uint64_t>& sizes) {
  if (sizes.empty()) return;
  Transaction transaction(database_);
  if (!is_known(remote)) return;
  Statement& insert = database_.connection().cached("INSERT OR REPLACE INTO remote_runs VALUES (?, ?, ?)");
  for (const auto& [id, size] : sizes) insert.bind(remote, id, size).run();
  transaction.commit();
}

}  // namespace mlops::db
