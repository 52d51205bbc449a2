#include "engine/run_log.hpp"

#include "catch.hpp"
#include "db/runs.hpp"
#include "db/steps.hpp"
#include "process/lock_file.hpp"
#include "process/step_log.hpp"
#include "temp_dir.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/time.hpp"

#include <fcntl.h>

#include <thread>

using namespace mlops;
using namespace mlops::engine;
using process::Stream;

namespace {

struct Place {
  TempDir dir;
  Workspace workspace = Workspace::create(dir.path());
  std::string id = util::new_id();
  std::string logs = workspace.run_directory(id) + "/logs";
  util::Fd index;

  Place() {
    util::make_directories(logs);
    index = util::open_file(workspace.run_directory(id) + "/output.idx", O_RDWR | O_CREAT | O_APPEND);
  }
  process::StepLog log(std::uint64_t head, std::uint64_t tail, int attempt = 1) {
    return {logs + "/a." + std::to_string(attempt) + ".log", {0, attempt}, index.get(), head, tail};
  }
  std::vector<LogLine> lines(std::uint64_t total, bool ended = true) {
    std::vector<LogLine> lines;
    read_lines(workspace, id, {"a", 0, 1, total, ended}, [&](const LogLine& line) { lines.push_back(line); });
    return lines;
  }
};

std::int64_t ms(const LogLine& line) { return line.time ? line.time->time_since_epoch().count() : -1; }

}  // namespace

TEST_CASE("each line has its own time and stream") {
  Place place;
  auto log = place.log(1000, 100);
  log.append(Stream::out, "one\ntw", 1000);
  log.append(Stream::out, "o\n", 2000);
  log.append(Stream::err, "three\n", 2001);
  log.append(Stream::out, "four", 3000);
  const auto lines = place.lines(log.written());
  REQUIRE(lines.size() == 4);
  REQUIRE(ms(lines[0]) == 1000);
  REQUIRE(lines[1].text == "two");
  REQUIRE(ms(lines[1]) == 1000);  // of its first byte
  REQUIRE(ms(lines[2]) == 2001);
  REQUIRE(lines[2].error);
  REQUIRE(lines[3].text == "four");
  REQUIRE_FALSE(lines[3].error);
}

TEST_CASE("beyond the gap of a flood, lines still have their own times and streams") {
  Place place;
  auto log = place.log(50, 50);
  for (int i = 0; i < 100; ++i) {
    const std::string number = std::to_string(1000 + i);
    log.append(i % 2 == 0 ? Stream::out : Stream::err, number + "\n", 1'000'000 + i);
  }
  const auto lines = place.lines(log.written());
  REQUIRE(lines.size() == 10 + 1 + 10);
  REQUIRE(lines[10].text == "[… 400 bytes were not kept …]");
  for (const std::size_t i : {0u, 9u, 11u, 12u, 20u}) {
    INFO(lines[i].text);
    const int number = std::stoi(lines[i].text) - 1000;
    REQUIRE(ms(lines[i]) == 1'000'000 + number);
    REQUIRE(lines[i].error == (number % 2 == 1));
  }
  REQUIRE(lines[20].text == "1099");
}

TEST_CASE("following shows times, streams and whole lines of all attempts, and what lies beyond the head") {
  Place place;
  db::Database database = db::Database::open(place.workspace.database_path());
  RunRecord run;
  run.id = place.id;
  run.pipeline = "p";
  run.definition = "abc";
  run.created_at = util::now();
  StepRecord step;
  step.name = "a";
  step.attempts = 1;
  step.state = StepState::running;
  const auto put = [&](db::Database& db, int attempt, const process::StepLog* ended) {
    AttemptRecord record;
    record.attempt = attempt;
    record.cause = "exited";
    if (ended) record.ended_at = util::now(), record.log_bytes = ended->written();
    step.attempts = attempt;
    db::Transaction transaction(db);
    db::put_attempt(db.connection(), run.id, record);
    db::update_step(db.connection(), run.id, step);
    transaction.commit();
  };
  {
    db::Transaction transaction(database);
    db::insert_run(database.connection(), run, "source", {}, {});
    db::insert_step(database.connection(), run.id, step);
    db::finish_run(database.connection(), run.id, RunState::failed, "", 1, util::now(), 1);
    transaction.commit();
  }
  std::thread writer([&] {
    const auto lock = process::LockFile::try_lock(place.workspace.run_directory(run.id) + "/runner.lock");
    db::Database own = db::Database::open(place.workspace.database_path());
    auto first = place.log(20, 1000);
    put(own, 1, nullptr);
    for (int i = 0; i < 10; ++i) {
      first.append(i % 2 == 0 ? Stream::out : Stream::err, "line ", 1000 + i);
      util::pause_us(20'000);
      first.append(i % 2 == 0 ? Stream::out : Stream::err, std::to_string(i) + "\n", 1000 + i);
    }
    put(own, 1, &first);
    auto second = place.log(20, 1000, 2);
    put(own, 2, nullptr);
    second.append(Stream::out, "again", 5000);
    util::pause_us(100'000);
    put(own, 2, &second);
  });
  while (!process::LockFile::is_locked(place.workspace.run_directory(run.id) + "/runner.lock"))
    util::pause_us(1'000);
  std::vector<LogLine> lines;
  std::string headings;
  LogPrinter printer;
  printer.heading = [&](const AttemptLog& log) { headings += std::to_string(log.attempt); };
  printer.line = [&](const LogLine& line) { lines.push_back(line); };
  follow_logs(place.workspace, database, run.id, {}, printer, [] {});
  writer.join();
  REQUIRE(headings == "12");
  REQUIRE(lines.size() == 11);
  for (int i = 0; i < 10; ++i) {
    const LogLine& line = lines[static_cast<std::size_t>(i)];
    REQUIRE(line.text == "line " + std::to_string(i));
    REQUIRE(ms(line) == 1000 + i);
    REQUIRE(line.error == (i % 2 == 1));
  }
  REQUIRE(lines[10].text == "again");

  std::string bytes;
  const LogPrinter plain{nullptr, nullptr, [&](std::string_view part) { bytes += part; }};
  follow_logs(place.workspace, database, run.id, {"a", 1}, plain, [] {});
  REQUIRE(bytes.starts_with("line 0\nline 1\n"));
  REQUIRE(bytes.ends_with("line 9\n"));
}
