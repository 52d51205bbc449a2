#include "engine/removal.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "engine/activity.hpp"
#include "engine/cancellation.hpp"
#include "process/lock_file.hpp"
#include "temp_dir.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

using namespace mlops;
using namespace mlops::engine;

namespace {

struct Place {
  TempDir dir;
  Workspace workspace = Workspace::create(dir.path());
  db::Database database = db::Database::open(workspace.database_path());

  std::string add(RunState state = RunState::succeeded, int runner = 0) {
    RunRecord run;
    run.id = util::new_id();
    run.pipeline = "p";
    run.definition = "abc";
    run.created_at = util::now();
    run.runner_pid = runner;
    run.boot_id = process::boot_id();
    db::Transaction transaction(database);
    db::insert_run(database.connection(), run, "source", {}, {});
    if (state != RunState::running)
      db::finish_run(database.connection(), run.id, state, "", 0, run.created_at, 1);
    transaction.commit();
    util::make_directories(workspace.run_directory(run.id) + "/logs");
    util::write_file(workspace.run_directory(run.id) + "/logs/a.1.log", "hello");
    return run.id;
  }
  void set_runner(const std::string& id, int pid) {
    db::Transaction transaction(database);
    db::reopen_run(database.connection(), id, pid, process::boot_id(), 1);
    transaction.commit();
  }
  std::vector<std::string> remove(const RemovalRequest& request) {
    std::vector<std::string> gone;
    remove_runs(workspace, database, request, [&](const std::string& id) { gone.push_back(id); });
    return gone;
  }
  bool there(const std::string& id) { return db::run_exists(database.connection(), id); }
};

/// A process that holds locks for a while, or until a signal ends it.
class Holder {
 public:
  Holder(const std::string& path, int ms) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      // Catch's handlers would report a failure of the test.
      for (const int number : {SIGTERM, SIGQUIT}) ::signal(number, SIG_DFL);
      const auto lock = process::LockFile::try_lock(path);
      (void)!::write(ready[1], "x", 1);
      util::pause_us(ms * 1000L);
      ::_exit(7);
    }
    char byte;
    (void)!::read(ready[0], &byte, 1);
    ::close(ready[0]), ::close(ready[1]);
  }
  ~Holder() { end(); }
  pid_t pid() const { return pid_; }
  /// Its exit code, or minus the signal that ended it.
  int end() {
    if (pid_ > 0) {
      int status = 0;
      ::waitpid(pid_, &status, 0);
      pid_ = 0;
      how_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    return how_;
  }

 private:
  pid_t pid_ = 0;
  int how_ = 0;
};

std::string lock_of(const Place& place, const std::string& id, const char* name) {
  return place.workspace.run_directory(id) + "/" + name;
}

}  // namespace

TEST_CASE("deleted runs are gone with their directories, others stay") {
  Place place;
  const std::string a = place.add(), b = place.add(), c = place.add();
  REQUIRE(place.remove({.runs = {a, a}, .pruning = {}, .dry_run = true}) == std::vector<std::string>{a});
  REQUIRE(place.there(a));
  REQUIRE(place.remove({.runs = {a, a}, .pruning = {}, .dry_run = false}) == std::vector<std::string>{a});
  REQUIRE_FALSE(place.there(a));
  REQUIRE_FALSE(util::exists(place.workspace.state_directory() + "/runs/" + a));
  REQUIRE(place.remove({.runs = {}, .pruning = db::Pruning{"", 1, {}}, .dry_run = false}) ==
          std::vector<std::string>{b});
  REQUIRE(place.there(c));
}

TEST_CASE("nothing is deleted when one of the named runs is running, and running ones are never old enough") {
  Place place;
  const std::string a = place.add(), b = place.add(), c = place.add();
  Holder runner(lock_of(place, b, "runner.lock"), 600);
  REQUIRE_THROWS_WITH(place.remove({.runs = {a, b}, .pruning = {}, .dry_run = false}),
                      ContainsSubstring("it is running"));
  REQUIRE(place.there(a));
  REQUIRE(place.remove({.runs = {}, .pruning = db::Pruning{"", 0, {}}, .dry_run = false}) ==
          std::vector<std::string>{c, a});
  REQUIRE(place.there(b));
}

TEST_CASE("deleting follows no link out of the directory of runs") {
  Place place;
  const std::string a = place.add(), b = place.add();
  util::make_directories(place.dir / "precious");
  util::write_file(place.dir / "precious/file", "kept");
  const std::string directory = place.workspace.run_directory(a);
  std::filesystem::remove_all(directory);
  std::filesystem::create_directory_symlink(place.dir / "precious", directory);
  REQUIRE(place.remove({.runs = {a}, .pruning = {}, .dry_run = false}).size() == 1);
  REQUIRE_FALSE(std::filesystem::is_symlink(directory));
  REQUIRE(util::read_file(place.dir / "precious/file") == "kept");
  REQUIRE_FALSE(util::exists(place.dir / "precious/runner.lock"));

  std::filesystem::create_symlink(place.dir / "precious/file", lock_of(place, b, "runner.lock"));
  REQUIRE_THROWS_WITH(place.remove({.runs = {b}, .pruning = {}, .dry_run = false}),
                      ContainsSubstring("no regular file"));
  REQUIRE(util::read_file(place.dir / "precious/file") == "kept");
  REQUIRE(place.there(b));
}

TEST_CASE("what a database calls a run leads nowhere else") {
  Place place;
  REQUIRE_THROWS_AS(place.workspace.run_directory("../../../../../../etc"), Error);
  REQUIRE_THROWS_AS(place.workspace.run_directory(""), Error);
  const std::string id = place.add();
  place.database.connection().execute(
      "PRAGMA foreign_keys = OFF; UPDATE runs SET id = '../../precious' WHERE id = '" + id + "'");
  util::make_directories(place.dir / "precious");
  REQUIRE_THROWS_WITH(place.remove({.runs = {"../../precious"}, .pruning = {}, .dry_run = false}),
                      ContainsSubstring("is no id of a run"));
  REQUIRE(util::exists(place.dir / "precious"));
}

TEST_CASE("what runs is told from what is over") {
  Place place;
  place.add();
  const std::string id = place.add(RunState::running, 1);
  const auto runs = active_runs(place.workspace, place.database);
  REQUIRE(runs.size() == 1);
  REQUIRE(runs[0].run.id == id);
  REQUIRE(runs[0].alive == Liveness::dead);
}

TEST_CASE("a run that is not running is not cancelled") {
  Place place;
  const CancelResult result = cancel_run(place.workspace, place.database, place.add(), {});
  REQUIRE_FALSE(result.cancelled);
  REQUIRE_FALSE(result.still_runs);
  REQUIRE_THAT(result.words, ContainsSubstring("has succeeded"));
}

TEST_CASE("its runner is asked to stop, at once by a signal of its own") {
  for (const bool now : {false, true}) {
    Place place;
    const std::string id = place.add(RunState::running, 1);
    Holder runner(lock_of(place, id, "runner.lock"), 20'000);
    place.set_runner(id, runner.pid());
    const CancelResult result = cancel_run(place.workspace, place.database, id, {.now = now, .wait = true});
    REQUIRE(result.cancelled);
    REQUIRE_THAT(result.words, ContainsSubstring("ended as "));
    REQUIRE(runner.end() == (now ? -SIGQUIT : -SIGTERM));
  }
}

TEST_CASE("the keeper of a dead runner is asked, and not who brings the record up to date") {
  Place place;
  const std::string id = place.add(RunState::running, 1);
  SECTION("nobody else holds the run") {
    Holder keeper(lock_of(place, id, "keeper.lock"), 20'000);
    const CancelResult result = cancel_run(place.workspace, place.database, id, {});
    REQUIRE_THAT(result.words, ContainsSubstring("its steps were stopped"));
    REQUIRE(keeper.end() == -SIGTERM);
  }
  SECTION("another process waits for the keeper") {
    Holder keeper(lock_of(place, id, "keeper.lock"), 20'000);
    Holder other(lock_of(place, id, "runner.lock"), 300);
    cancel_run(place.workspace, place.database, id, {});
    REQUIRE(keeper.end() == -SIGTERM);
    REQUIRE(other.end() == 7);  // it was waited for, not signalled
  }
  SECTION("another process recovers it") {
    Holder other(lock_of(place, id, "runner.lock"), 300);
    const CancelResult result = cancel_run(place.workspace, place.database, id, {});
    REQUIRE_FALSE(result.cancelled);
    REQUIRE(other.end() == 7);
  }
}
