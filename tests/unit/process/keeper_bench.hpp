#pragma once

#include "catch.hpp"
#include "executors/local.hpp"
#include "process/keeper.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <string>

namespace mlops::process {

// Tests that run at the same time must not end each other's processes.
inline const std::string test_run = "run-" + std::to_string(::getpid());
inline const std::string run_mark = "MLOPS_RUN_ID=" + test_run;

/// A keeper in a run directory of its own.
struct Bench {
  TempDir dir;
  executors::Local local;
  std::deque<ExitRecord> ends;

  Bench() : local(make_keeper(dir), {dir.path(), test_run}) {}

  static KeeperProcess make_keeper(const TempDir& dir) {
    util::make_directories(dir / "logs");
    return fork_keeper();
  }

  StartRequest request(const std::string& script, int step = 0) {
    StartRequest r;
    r.key = {step, 1};
    r.name = "s" + std::to_string(step);
    r.argv = {"/bin/sh", "-c", script};
    r.directory = dir.path();
    r.env = {run_mark, "MLOPS_STEP=" + r.name, "MLOPS_ATTEMPT=1"};
    r.grace_ms = 500;
    return r;
  }

  /// The next end, in the order in which they came.
  ExitRecord wait(int limit_ms = 20'000) {
    const std::int64_t end = util::monotonic_ms() + limit_ms;
    while (ends.empty() && util::monotonic_ms() < end) {
      pollfd waiting{local.fd(), POLLIN, 0};
      ::poll(&waiting, 1, 100);
      for (const auto& event : local.receive()) {
        if (const auto* ended = std::get_if<executors::Ended>(&event)) ends.push_back(ended->record);
        if (std::holds_alternative<executors::OutputGrew>(event)) local.output_read();
        if (std::holds_alternative<executors::KeeperDied>(event)) FAIL("the keeper died");
      }
    }
    if (ends.empty()) FAIL("no end in time");
    const ExitRecord first = ends.front();
    ends.pop_front();
    return first;
  }

  ExitRecord run(const StartRequest& r) {
    local.start(r);
    return wait();
  }

  std::string log(int step = 0) {
    return util::read_file(dir / ("logs/s" + std::to_string(step) + ".1.log"));
  }
};

/// Runs `test` in a process of its own, which it may give limits that it never gets rid of. An exception,
/// such as a failed REQUIRE, counts as false.
template <typename Test>
bool in_child(const Test& test) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    bool good = false;
    try {
      good = test();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "in the child: %s\n", error.what());
    } catch (...) {}
    ::_exit(good ? 0 : 1);
  }
  int status = 1;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace mlops::process
