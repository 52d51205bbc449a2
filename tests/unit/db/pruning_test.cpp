#include "catch.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

#include <sys/stat.h>
#include <unistd.h>

using namespace mlops;
using namespace mlops::db;
using namespace std::chrono_literals;

namespace {

const Instant noon = *util::parse_utc("2026-01-31 12:00:00.000");

// The run that started `minutes` after noon.
std::string insert(Database& database, int minutes, const std::string& pipeline = "churn",
                   const std::string& definition = "abc") {
  RunRecord run;
  const Instant moment = noon + std::chrono::minutes(minutes);
  char end[8];
  std::snprintf(end, sizeof end, "%06d", minutes);
  run.id = util::id_prefix(moment) + end;
  run.pipeline = pipeline;
  run.definition = definition;
  run.created_at = moment + 3ms;
  run.boot_id = "boot";
  Transaction transaction(database);
  insert_run(database.connection(), run, "source", {}, {});
  finish_run(database.connection(), run.id, RunState::succeeded, "", 0, run.created_at, 1);
  transaction.commit();
  return run.id;
}

std::int64_t number(Database& database, const std::string& sql) {
  Statement row = database.connection().prepare(sql);
  row.step();
  return row.integer(0);
}

std::string plan_of(Database& database, const std::string& sql) {
  Statement row = database.connection().prepare("EXPLAIN QUERY PLAN " + sql);
  std::string plan;
  while (row.step()) plan += row.text(3) + "\n";
  return plan;
}

}  // namespace

TEST_CASE("ids begin with their time, and only ids are names of directories") {
  REQUIRE(util::id_prefix(noon) < util::id_prefix(noon + 1ms));
  const std::string id = util::new_id();
  REQUIRE(id.substr(0, 10) >= util::id_prefix(util::now() - 1s));
  REQUIRE(id.substr(0, 10) <= util::id_prefix(util::now() + 1s));
  REQUIRE(util::is_id(id));
  for (const char* text : {"", ".", "../../../../../x", "01m8a9ecsdnqgge", "01m8a9ecsdnqggejj",
                           "01M8A9ECSDNQGGEJ", "01m8a9/csdnqggej", "../m8a9ecsdnqgge"}) {
    INFO(text);
    REQUIRE_FALSE(util::is_id(text));
  }
}

TEST_CASE("runs are listed by when they started") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  for (int i = 0; i < 10; ++i) insert(database, i, i % 2 == 0 ? "even" : "odd");
  RunFilter filter;
  filter.limit = 0;
  filter.since = noon + 7min;
  REQUIRE(list_runs(database.connection(), filter).size() == 3);
  filter.since = noon + 7min + 3ms;
  REQUIRE(list_runs(database.connection(), filter).size() == 3);
  filter.since = noon + 7min + 4ms;
  REQUIRE(list_runs(database.connection(), filter).size() == 2);
  filter.pipeline = "even";
  int count = 0;
  for_each_id(database.connection(), filter, [&](const std::string&, RunState state) {
    ++count;
    REQUIRE(state == RunState::succeeded);
  });
  REQUIRE(count == 1);
}

TEST_CASE("what is old enough to go comes in batches, newest first") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  std::vector<std::string> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(insert(database, i, i % 2 == 0 ? "even" : "odd"));
  Connection& connection = database.connection();
  const auto first = ids_to_prune(connection, {.pipeline = "", .keep = 3, .before = {}}, "", 4);
  REQUIRE(first == std::vector<std::string>{ids[6], ids[5], ids[4], ids[3]});
  REQUIRE(ids_to_prune(connection, {.pipeline = "", .keep = 3, .before = {}}, first.back(), 4) ==
          std::vector<std::string>{ids[2], ids[1], ids[0]});
  REQUIRE(ids_to_prune(connection, {.pipeline = "", .keep = 11, .before = {}}, "", 4).empty());
  REQUIRE(ids_to_prune(connection, {.pipeline = "odd", .keep = 4, .before = {}}, "", 9) ==
          std::vector<std::string>{ids[1]});
  REQUIRE(ids_to_prune(connection, {.pipeline = "", .keep = 0, .before = noon + 2min}, "", 9) ==
          std::vector<std::string>{ids[1], ids[0]});
  REQUIRE(ids_to_prune(connection, {.pipeline = "even", .keep = 4, .before = noon + 9min}, "", 9) ==
          std::vector<std::string>{ids[0]});
  {
    Transaction transaction(database);
    reopen_run(connection, ids[0], 1, "boot", 1);
    transaction.commit();
  }
  REQUIRE(ids_to_prune(connection, {.pipeline = "even", .keep = 4, .before = {}}, "", 9).empty());
}

TEST_CASE("a definition goes with the last run that has it") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  const std::string a = insert(database, 1, "p", "abc"), b = insert(database, 2, "p", "abc");
  const auto remove = [&](const std::string& id) {
    Transaction transaction(database);
    delete_run(database.connection(), id);
    transaction.commit();
  };
  remove(a);
  REQUIRE_FALSE(run_exists(database.connection(), a));
  REQUIRE(run_exists(database.connection(), b));
  REQUIRE(number(database, "SELECT count(*) FROM definitions") == 1);
  remove(b);
  REQUIRE(number(database, "SELECT count(*) FROM definitions") == 0);
}

TEST_CASE("no question about one run reads all of them") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  for (const char* sql :
       {"SELECT 1 FROM runs WHERE definition = 'x'",
        "SELECT id FROM runs WHERE substr(id, -4) = substr('abcde', -4) AND substr(id, -5) = 'abcde'",
        "SELECT id FROM runs WHERE id >= 'x' AND created_at >= 'y' ORDER BY id DESC",
        "SELECT id FROM runs WHERE id < 'x' AND state <> 'running' AND pipeline = 'p' ORDER BY id DESC"}) {
    INFO(sql);
    const std::string plan = plan_of(database, sql);
    INFO(plan);
    REQUIRE(plan.find("SCAN") == std::string::npos);
    REQUIRE(plan.find("TEMP B-TREE") == std::string::npos);
  }
}

TEST_CASE("a durable commit waits for the disk and goes into the database itself, others do not") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  insert(database, 1);
  {
    Transaction transaction(database);
    REQUIRE(number(database, "PRAGMA synchronous") == 1);
    transaction.commit();
  }
  {
    Transaction transaction(database, Durability::full);
    REQUIRE(number(database, "PRAGMA synchronous") == 2);
    database.connection().execute("UPDATE runs SET reason = 'x'");
    transaction.commit();
  }
  // A copy of the one file has it all.
  util::write_file(dir / "copy.db", util::read_file(dir / "mlops.db"));
  Connection copy(dir / "copy.db", Connection::Mode::immutable);
  Statement row = copy.prepare("SELECT count(*) FROM runs WHERE reason = 'x'");
  row.step();
  REQUIRE(row.integer(0) == 1);
  Transaction transaction(database);
  REQUIRE(number(database, "PRAGMA synchronous") == 1);
}

TEST_CASE("a look creates nothing and migrates nothing") {
  TempDir dir;
  REQUIRE_THROWS_WITH(Database::open_to_read(dir / "mlops.db"), ContainsSubstring("no such file"));
  REQUIRE_THROWS_WITH(Database::open_existing(dir / "mlops.db"), ContainsSubstring("no such file"));
  REQUIRE_FALSE(util::exists(dir / "mlops.db"));
  {
    Database database = Database::open(dir / "mlops.db");
    database.connection().execute("PRAGMA user_version = 1");
  }
  for (const Access access : {Access::write, Access::read_only}) {
    try {
      Database::open_to_read(dir / "mlops.db", access);
      FAIL("an old schema was read");
    } catch (const Error& error) {
      REQUIRE_THAT(error.what(), ContainsSubstring("schema is version 1"));
      REQUIRE_THAT(error.hint(), ContainsSubstring("mlops run"));
    }
  }
  Connection raw(dir / "mlops.db", Connection::Mode::read_write);
  raw.execute("PRAGMA user_version = 0");
  REQUIRE_THROWS_WITH(Database::open_to_read(dir / "mlops.db"), ContainsSubstring("none of mlops"));
}

TEST_CASE("without a way to write, the database is only read") {
  TempDir dir;
  {
    Database database = Database::open(dir / "mlops.db");
    insert(database, 1);
  }
  SECTION("because it is not to be written to") {
    Database database = Database::open_to_read(dir / "mlops.db", Access::read_only);
    REQUIRE_FALSE(database.writable());
    REQUIRE(number(database, "SELECT count(*) FROM runs") == 1);
    REQUIRE_THROWS_WITH(Transaction(database), ContainsSubstring("read-only"));
  }
  SECTION("because its lock cannot be made") {
    ::unlink((dir / "mlops.db.lock").c_str());
    REQUIRE(::mkdir((dir / "mlops.db.lock").c_str(), 0700) == 0);
    Database database = Database::open_to_read(dir / "mlops.db");
    if (sqlite_version() < 3051003) REQUIRE_FALSE(database.writable());
    REQUIRE(number(database, "SELECT count(*) FROM runs") == 1);
  }
  SECTION("and where its log cannot be read either, it says that changes may be missing") {
    ::unlink((dir / "mlops.db-wal").c_str());
    REQUIRE(::mkdir((dir / "mlops.db-wal").c_str(), 0700) == 0);
    Database database = Database::open_to_read(dir / "mlops.db");
    REQUIRE(database.stale());
    REQUIRE_FALSE(database.writable());
    REQUIRE(number(database, "SELECT count(*) FROM runs") == 0);
  }
}
