#include "db/datasets.hpp"

#include "util/time.hpp"

namespace mlops::db {

namespace {

constexpr const char* select_versions =
    "SELECT dataset, version, path, sha256, form, size, files, added, removed, changed, note, user, "
    "created_at, "
    "pinned FROM v_dataset_versions ";

DatasetVersion read_version(const Statement& row) {
  DatasetVersion v;
  int column = 0;
  const auto count = [&] { return static_cast<std::uint64_t>(row.integer(column++)); };
  v.dataset = row.text(column++);
  v.version = static_cast<int>(row.integer(column++));
  v.path = row.text(column++);
  v.sha256 = row.text(column++);
  v.form = row.text(column++);
  v.size = count();
  v.files = count();
  v.added = count();
  v.removed = count();
  v.changed = count();
  v.note = row.text(column++);
  v.user = row.text(column++);
  v.created_at = util::parse_utc(row.text(column++)).value_or(Instant{});
  v.pinned = row.integer(column++) != 0;
  return v;
}

std::vector<DatasetVersion> read_versions(Statement row) {
  std::vector<DatasetVersion> list;
  while (row.step()) list.push_back(read_version(row));
  return list;
}

}  // namespace

std::vector<DatasetVersion> datasets(Connection& db) {
  return read_versions(db.prepare(std::string(select_versions) + R"sql(
    WHERE (dataset, version) IN (SELECT dataset, max(version) FROM dataset_versions GROUP BY dataset)
    ORDER BY dataset
  )sql"));
}

std::vector<std::string> dataset_names(Connection& db) {
  std::vector<std::string> names;
  Statement row = db.prepare("SELECT name FROM datasets ORDER BY name");
  while (row.step()) names.push_back(row.text(0));
  return names;
}

std::vector<DatasetVersion> versions_of(Connection& db, const std::string& dataset) {
  Statement row = db.prepare(std::string(select_versions) + "WHERE dataset = ? ORDER BY version DESC");
  row.bind(dataset);
  return read_versions(std::move(row));
}

std::optional<DatasetVersion> latest_version(Connection& db, const std::string& dataset) {
  Statement row =
      db.prepare(std::string(select_versions) + "WHERE dataset = ? ORDER BY version DESC LIMIT 1");
  row.bind(dataset);
  return row.step() ? std::optional(read_version(row)) : std::nullopt;
}

std::optional<DatasetVersion> version_with(Connection& db, const std::string& sha256,
                                           const std::string& form) {
  Statement row = db.prepare(std::string(select_versions) +
                             "WHERE sha256 = ? AND form = ? ORDER BY created_at DESC LIMIT 1");
  row.bind(sha256, form);
  return row.step() ? std::optional(read_version(row)) : std::nullopt;
}

int insert_version(Connection& db, const DatasetVersion& v) {
  const std::string now = util::format_utc(v.created_at);
  db.prepare("INSERT OR IGNORE INTO datasets (name, created_at) VALUES (?, ?)").bind(v.dataset, now).run();
  db.prepare("UPDATE datasets SET next = next + 1 WHERE name = ?").bind(v.dataset).run();
  Statement row = db.prepare("SELECT next - 1 FROM datasets WHERE name = ?");
  row.bind(v.dataset);
  row.step();
  const int number = static_cast<int>(row.integer(0));
  row.reset();
  db.prepare("INSERT INTO dataset_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(v.dataset, number, v.path, v.sha256, v.form, v.size, v.files, v.added, v.removed, v.changed,
            v.note, v.user, now)
      .run();
  return number;
}

void set_changes(Connection& db, const DatasetVersion& v) {
  db.prepare(R"sql(
        UPDATE dataset_versions SET added = ?3, removed = ?4, changed = ?5 WHERE dataset = ?1 AND version = ?2
      )sql")
      .bind(v.dataset, v.version, v.added, v.removed, v.changed)
      .run();
}

void delete_version(Connection& db, const std::string& dataset, int version) {
  db.prepare("DELETE FROM dataset_versions WHERE dataset = ? AND version = ?").bind(dataset, version).run();
  db.prepare(R"sql(
        DELETE FROM datasets
        WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM dataset_versions WHERE dataset = ?1)
      )sql")
      .bind(dataset)
      .run();
}

namespace {

Pin read_pin(const Statement& row) {
  return {row.text(0), row.text(1), row.text(2), row.text(3),
          util::parse_utc(row.text(4)).value_or(Instant{})};
}

}  // namespace

std::vector<Pin> pins(Connection& db) {
  std::vector<Pin> list;
  Statement row = db.prepare("SELECT kind, name, of, note, created_at FROM v_pins ORDER BY created_at, name");
  while (row.step()) list.push_back(read_pin(row));
  return list;
}

std::optional<Pin> pin_of_run(Connection& db, const std::string& run_id) {
  Statement& row =
      db.cached("SELECT kind, name, of, note, created_at FROM v_pins WHERE kind = 'run' AND name = ?")
          .bind(run_id);
  std::optional<Pin> pin;
  if (row.step()) pin = read_pin(row);
  row.reset();
  return pin;
}

void pin_run(Connection& db, const std::string& run_id, const std::string& note, Instant now) {
  db.prepare("INSERT OR REPLACE INTO pinned_runs VALUES (?, ?, ?)")
      .bind(run_id, note, util::format_utc(now))
      .run();
}

bool unpin_run(Connection& db, const std::string& run_id) {
  db.prepare("DELETE FROM pinned_runs WHERE run_id = ?").bind(run_id).run();
  return db.changes() > 0;
}

void pin_version(Connection& db, const std::string& dataset, int version, const std::string& note,
                 Instant now) {
  db.prepare("INSERT OR REPLACE INTO pinned_versions VALUES (?, ?, ?, ?)")
      .bind(dataset, version, note, util::format_utc(now))
      .run();
}

bool unpin_version(Connection& db, const std::string& dataset, int version) {
  db.prepare("DELETE FROM pinned_versions WHERE dataset = ? AND version = ?").bind(dataset, version).run();
  return db.changes() > 0;
}

}  // namespace mlops::db
