#include "db/database.hpp"

#include "catch.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "temp_dir.hpp"
#include "util/time.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlops;
using namespace mlops::db;

namespace {

RunRecord sample(const std::string& id) {
  RunRecord run;
  run.id = id;
  run.pipeline = "churn";
  run.file = "pipeline.yaml";
  run.definition = "abc";
  run.created_at = *util::parse_utc("2026-01-31 12:00:00.123");
  run.steps = 1;
  run.jobs = 2;
  run.host = "here";
  run.user = "me";
  run.command_line = "mlops run";
  run.mlops_version = "1";
  run.boot_id = "boot";
  return run;
}

void insert(Database& database, const RunRecord& run) {
  Transaction transaction(database);
  insert_run(database.connection(), run, "source", {{"train.lr", "0.1"}}, {"PATH"});
  StepRecord step;
  step.name = "train";
  insert_step(database.connection(), run.id, step);
  transaction.commit();
}

}  // namespace

TEST_CASE("a run comes back as it was written") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  insert(database, sample("01a"));
  auto run = find_run(database.connection(), "01a");
  REQUIRE(run);
  REQUIRE(run->created_at == sample("01a").created_at);
  REQUIRE(run->state == RunState::running);
  REQUIRE_FALSE(run->git_dirty);
  {
    Transaction transaction(database, Durability::full);
    set_git_state(database.connection(), "01a", "c0ffee", true);
    finish_run(database.connection(), "01a", RunState::failed, "why", 1, util::now(), 250);
    transaction.commit();
  }
  run = find_run(database.connection(), "01a");
  REQUIRE(run->state == RunState::failed);
  REQUIRE(run->git_dirty == true);
  REQUIRE(run->duration_ms == 250);
  REQUIRE(params_of(database.connection(), "01a").size() == 1);
}

TEST_CASE("the database is readable for its owner only") {
  TempDir dir;
  const mode_t old = ::umask(0);
  Database database = Database::open(dir / "mlops.db");
  insert(database, sample("01a"));
  ::umask(old);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat st {};
    REQUIRE(::stat((dir / (std::string("mlops.db") + suffix)).c_str(), &st) == 0);
    REQUIRE((st.st_mode & 0777) == 0600);
  }
}

TEST_CASE("a transaction that is not committed leaves nothing") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  {
    Transaction transaction(database);
    insert_run(database.connection(), sample("01a"), "source", {}, {});
  }
  REQUIRE_FALSE(find_run(database.connection(), "01a"));
  insert(database, sample("01b"));
  REQUIRE(find_run(database.connection(), "01b"));
}

TEST_CASE("a database of a newer mlops is refused in words") {
  TempDir dir;
  { Database::open(dir / "mlops.db").connection().execute("PRAGMA user_version = 999"); }
  REQUIRE_THROWS_WITH(Database::open(dir / "mlops.db"), ContainsSubstring("version 999"));
}

TEST_CASE("a run is found by the beginning and the end of its id") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  for (const char* id : {"01abcdefghjkmn01", "01abcdefghjkmn02", "01zzzzzzzzzzzz99"})
    insert(database, sample(id));
  REQUIRE(match_ids(database.connection(), "01z", 5).size() == 1);
  REQUIRE(match_ids(database.connection(), "01a", 5).size() == 2);
  REQUIRE(match_ids(database.connection(), "mn02", 5) == std::vector<std::string>{"01abcdefghjkmn02"});
  REQUIRE(match_ids(database.connection(), "n02", 5).empty());
  REQUIRE(latest_run(database.connection(), "", std::nullopt) == "01zzzzzzzzzzzz99");
  REQUIRE(pipeline_names(database.connection()) == std::vector<std::string>{"churn"});
}

TEST_CASE("metrics keep their points, and the last one for lists") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  insert(database, sample("01a"));
  {
    Transaction transaction(database);
    put_metrics(database.connection(), "01a", 0,
                {{"loss", 1, 0.5, {}}, {"loss", 2, 0.25, {}}, {"acc", 0, {}, {}}});
    transaction.commit();
  }
  const auto metrics = metrics_of(database.connection(), "01a");
  REQUIRE(metrics.size() == 2);
  REQUIRE_FALSE(metrics[0].value);
  REQUIRE(metrics[1].value == 0.25);
  REQUIRE(metrics[1].points == 2);
}

TEST_CASE("deleting a run deletes all that hangs on it") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  insert(database, sample("01a"));
  {
    Transaction transaction(database);
    delete_run(database.connection(), "01a");
    transaction.commit();
  }
  REQUIRE(steps_of(database.connection(), "01a").empty());
  Statement count = database.connection().prepare("SELECT count(*) FROM run_params");
  count.step();
  REQUIRE(count.integer(0) == 0);
}

TEST_CASE("SQL of users reads and does nothing else") {
  TempDir dir;
  Database database = Database::open(dir / "mlops.db");
  insert(database, sample("01a"));
  Connection& connection = database.connection();
  connection.allow_only_reading();
  REQUIRE(connection.prepare("select pipeline from v_runs").step());
  for (const char* sql :
       {"delete from runs", "drop table runs", "attach 'x' as y", "pragma journal_mode=delete",
        "update runs set state='x'", "vacuum", "create table t(a)"}) {
    INFO(sql);
    REQUIRE_THROWS_AS(connection.prepare(sql).step(), SqliteError);
  }
}

TEST_CASE("many processes write at once and none is told that the database is locked") {
  TempDir dir;
  { Database::open(dir / "mlops.db"); }
  constexpr int processes = 8, each = 50;
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      try {
        Database database = Database::open(dir / "mlops.db");
        for (int i = 0; i < each; ++i)
          insert(database, sample("p" + std::to_string(p) + "-" + std::to_string(i)));
        ::_exit(0);
      } catch (...) {
        ::_exit(1);
      }
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    REQUIRE(status == 0);
  }
  Database database = Database::open(dir / "mlops.db");
  Statement count = database.connection().prepare("SELECT count(*) FROM runs");
  count.step();
  REQUIRE(count.integer(0) == processes * each);
}
