#include "engine/aftermath.hpp"

#include "catch.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "engine/recovery.hpp"
#include "process/attempt.hpp"
#include "process/identity.hpp"
#include "temp_dir.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

using namespace mlops;
using namespace mlops::engine;
using Kind = AttemptOutcome::Kind;

namespace {

StepRecord record(StepState state, int attempts) {
  StepRecord r;
  r.state = state;
  r.attempts = attempts;
  return r;
}

/// A run whose runner died, by hand.
struct DeadRun {
  DeadRun() {
    run.id = util::new_id();
    run.pipeline = "p";
    run.file = "p.yaml";
    run.definition = util::sha256(source);
    run.created_at = run.part_started_at = util::now();
    run.boot_id = process::boot_id();
    directory = workspace.run_directory(run.id);
    util::make_directories(directory);
    util::write_file(layout::in(directory, layout::definition), source);
    util::write_file(layout::in(directory, layout::settings), "{}");
    StepRecord step;
    step.name = "make";
    db::Transaction transaction(database);
    db::insert_run(database.connection(), run, source, {}, {});
    db::insert_step(database.connection(), run.id, step);
    transaction.commit();
    util::write_file(dir.path() + "/o", "made");
    process::ExitRecord end;
    end.key = {0, 1};
    end.cause = process::Cause::exited;
    end.code = 0;
    end.pid = 1;
    end.started_ms = end.ended_ms = run.created_at.time_since_epoch().count();
    util::write_file(
        layout::in(directory, layout::attempts),
        process::format_start(end.key, end.started_ms, run.boot_id) + "\n" + process::format_end(end) + "\n");
  }

  const std::string source = "name: p\nsteps: {make: {run: touch o, outputs: o}}\n";
  TempDir dir;
  Workspace workspace = Workspace::create(dir.path());
  db::Database database = db::Database::open(workspace.database_path());
  RunRecord run;
  std::string directory;
};

}  // namespace

TEST_CASE("an attempt that never began is not judged by the one before it") {
  // Clean-up that had succeeded before the run was resumed, and was to run again.
  REQUIRE(witness(record(StepState::running, 2), 1, 0) == Witness::nobody);
  REQUIRE(witness(record(StepState::retrying, 2), 1, 0) == Witness::nobody);
  REQUIRE(witness(record(StepState::running, 2), 2, 1) == Witness::journal);
  REQUIRE(witness(record(StepState::pending, 1), 1, 0) == Witness::record);
  REQUIRE(witness(record(StepState::pending, 1), 2, 1) == Witness::journal);
}

TEST_CASE("a step that ended without an attempt keeps its end when the run is recovered") {
  for (const StepState state :
       {StepState::not_run, StepState::cancelled, StepState::failed, StepState::lost}) {
    REQUIRE(witness(record(state, 1), 1, 0) == Witness::record);  // that attempt was of an earlier part
    REQUIRE(witness(record(state, 2), 1, 1) == Witness::record);  // the last one never reached the keeper
    REQUIRE(witness(record(state, 1), 1, 1) == Witness::journal);
  }
}

TEST_CASE("an attempt that failed leaves its step open as long as it has tries") {
  Step step;
  step.retry.times = 1;
  const AttemptOutcome bad{Kind::exited, 3, "exit code 3"};
  REQUIRE(judge_step(step, StepState::running, 1, bad, "").state == StepState::pending);
  REQUIRE(judge_step(step, StepState::running, 2, bad, "").state == StepState::failed);
  REQUIRE(judge_step(step, StepState::failed, 1, bad, "").state == StepState::failed);
  REQUIRE(judge_step(step, StepState::running, 1, {Kind::succeeded, 0, ""}, "no output").state ==
          StepState::failed);
  REQUIRE(judge_step(step, StepState::running, 1, {Kind::stopped, 0, "told"}, "").state ==
          StepState::cancelled);
}

TEST_CASE("a recovery that is cut off leaves nothing behind, and the next one says the same") {
  DeadRun dead;
  db::Connection& connection = dead.database.connection();
  connection.execute(
      "CREATE TEMP TRIGGER full BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
  REQUIRE_THROWS(recover_run(dead.workspace, dead.database, dead.run.id));
  REQUIRE(db::steps_of(connection, dead.run.id).at(0).state == StepState::pending);
  connection.execute("DROP TRIGGER full");
  recover_run(dead.workspace, dead.database, dead.run.id);
  REQUIRE(db::steps_of(connection, dead.run.id).at(0).state == StepState::succeeded);
  // Its outputs were never recorded: it must not pass for a success.
  REQUIRE(db::find_run(connection, dead.run.id)->state == RunState::interrupted);
}
