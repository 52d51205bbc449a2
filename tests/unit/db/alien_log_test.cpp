// An older copy of a database in whose place the log of a later state lies, as after `cp`.
#include "catch.hpp"
#include "db/copies.hpp"
#include "db/salvage.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <unistd.h>

using namespace mlops;
using namespace mlops::db;

namespace {

void add(Database& database, int from, int until) {
  Transaction transaction(database);
  for (int i = from; i < until; ++i) {
    database.connection()
        .prepare("INSERT INTO definitions(sha256, source, first_seen) VALUES (?, ?, '')")
        .bind("digest" + std::to_string(i), std::string(1000, 'x'))
        .run();
  }
  transaction.commit();
}

// The copy has ten rows; the log belongs to a file of hundreds of pages, and has the last ones of them.
std::string put_older_copy_in_place(const TempDir& dir) {
  const std::string path = dir / "mlops.db", copy = dir / "copy.db";
  std::string log;
  {
    Database database = Database::open(path);
    add(database, 0, 10);
    copy_database(path, copy);
    add(database, 10, 800);
    database.connection().checkpoint(1);
    add(database, 800, 801);
    log = util::read_file(path + "-wal");
  }
  util::write_file(path, util::read_file(copy));
  ::unlink((path + "-shm").c_str());
  util::write_file(path + "-wal", log);
  return path;
}

}  // namespace

TEST_CASE("a sound file with the log of another one is told of, and no copy of it is made") {
  const TempDir dir;
  const std::string path = put_older_copy_in_place(dir);
  REQUIRE_FALSE(find_damage(path).empty());
  REQUIRE_THROWS_AS(copy_database(path, dir / "backup.db"), Error);
  REQUIRE_FALSE(util::exists(dir / "backup.db"));
}

TEST_CASE("what the file has without the alien log is saved, and is not called all") {
  const TempDir dir;
  const std::string path = put_older_copy_in_place(dir);
  Database fresh = Database::open(dir / "fresh.db");
  for (const SalvagedTable& table : salvage(path, fresh)) {
    if (table.name != "definitions") continue;
    REQUIRE(table.rows >= 10);
    REQUIRE_FALSE(table.whole);
  }
}

TEST_CASE("the log is empty after a durable commit, and the file is all there is") {
  const TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  add(database, 0, 3);
  REQUIRE(util::file_size(dir / "mlops.db-wal") > 0);
  Transaction(database, Durability::full).commit();
  REQUIRE(util::file_size(dir / "mlops.db-wal") == 0);
}
