#include "process/file_trace.hpp"

#include "keeper_bench.hpp"

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>

using namespace mlops;
using namespace mlops::process;

namespace {

struct TraceBench : Bench {
  FileTraceReport report;

  ExitRecord trace(const std::string& script) {
    StartRequest r = request(script);
    return trace(r);
  }
  ExitRecord trace(StartRequest r) {
    r.trace_file = dir / "trace";
    const ExitRecord record = run(r);
    report = parse_trace(util::read_file_if_exists(dir / "trace").value_or(""));
    return record;
  }
  // What is said of a file below the step's directory: "r", "rw", …; empty: nothing.
  std::string of(const std::string& name) const {
    for (const FileAccess& f : report.files) {
      if (f.path == dir / name)
        return std::string(f.read ? "r" : "") + (f.executed ? "x" : "") + (f.written ? "w" : "") +
               (f.kept ? "a" : "");
    }
    return "";
  }
  bool unavailable() const { return !report.problem.empty(); }
};

}  // namespace

TEST_CASE("a traced step tells what it reads, runs and writes") {
  TraceBench bench;
  util::write_file(bench.dir / "in", "1");
  util::write_file(bench.dir / "old", "1");
  util::write_file(bench.dir / "both", "1");
  util::write_file(bench.dir / "tool", "#!/bin/sh\nread x < in\n");
  ::chmod((bench.dir / "tool").c_str(), 0755);
  const ExitRecord record = bench.trace(
      "./tool; cat missing 2>/dev/null; echo 2 > out; cat out > /dev/null; echo 3 > old; cat both "
      ">/dev/null; echo 4 >> "
      "both; echo 5 > tmp; mv tmp moved; echo 6 > gone; rm gone; exit 7");
  REQUIRE(record.code == 7);
  if (bench.unavailable()) {
    WARN("not traced here: " + bench.report.problem);
    return;
  }
  REQUIRE(bench.of("tool") == "rx");
  REQUIRE(bench.of("in") == "r");
  REQUIRE(bench.of("missing").empty());
  REQUIRE(bench.of("out") == "w");  // that it read it again is no news
  REQUIRE(bench.of("old") == "w");
  REQUIRE(bench.of("both") == "rwa");
  REQUIRE(bench.of("moved") == "w");
  REQUIRE(bench.of("tmp").empty());
  REQUIRE(bench.of("gone").empty());
}

TEST_CASE("a trace tells what was added to from what was made anew") {
  TraceBench bench;
  for (const char* name : {"log", "place", "old"}) util::write_file(bench.dir / name, "1\n");
  bench.trace(
      "echo 2 >> log; echo 2 >> new; echo 3 > old; echo 4 >> old; echo 5 > fresh; echo 6 >> fresh; "
      "printf x | dd of=place conv=notrunc 2> /dev/null; ln old linked; set -C; echo 7 > linked || echo 8 > "
      "lock");
  if (bench.unavailable()) return;
  REQUIRE(bench.of("log") == "wa");
  REQUIRE(bench.of("new") == "wa");  // the next time it will be there
  REQUIRE(bench.of("place") == "wa");
  REQUIRE(bench.of("old") == "w");
  REQUIRE(bench.of("fresh") == "w");
  REQUIRE(bench.of("linked") == "w");
  REQUIRE(bench.of("lock") == "w");
}

TEST_CASE("tracing follows every process, whatever folder it is in") {
  TraceBench bench;
  util::make_directories(bench.dir / "a/b");
  util::write_file(bench.dir / "a/one", "1");
  util::write_file(bench.dir / "a/b/two", "1");
  util::write_file(bench.dir / "three\n3", "1");
  bench.trace(
      "(cd a/b && cat ../one .//two > /dev/null) & cat 'three\n3' > /dev/null; setsid sh -c 'cat "
      "a/b/../b/two' > /dev/null; wait");
  if (bench.unavailable()) return;
  REQUIRE(bench.of("a/one") == "r");
  REQUIRE(bench.of("a/b/two") == "r");
  REQUIRE(bench.of("three\n3") == "r");
}

TEST_CASE("tracing changes no ends") {
  TraceBench bench;
  REQUIRE(bench.trace("exit 0").succeeded());
  REQUIRE(bench.trace("kill -9 $$").signal == SIGKILL);
  StartRequest missing = bench.request("");
  missing.argv = {"no-such-program-xyz"};
  REQUIRE(bench.trace(missing).error == ENOENT);
  util::write_file(bench.dir / "no program", "text");
  missing.argv = {"./no program"};
  REQUIRE(bench.trace(missing).error == EACCES);
  ::chmod((bench.dir / "no program").c_str(), 0755);
  REQUIRE(bench.trace(missing).error == ENOEXEC);
  missing.directory = bench.dir / "nowhere";
  REQUIRE(bench.trace(missing).cause == Cause::not_started);

  StartRequest slow = bench.request("trap 'exit 9' TERM; while :; do cat /dev/null; done");
  slow.timeout_ms = 300;
  const ExitRecord late = bench.trace(slow);
  REQUIRE(late.cause == Cause::timeout);
  REQUIRE(late.code == 9);
}

TEST_CASE("a traced step finds its descriptors, signals and arguments as ever") {
  TraceBench bench;
  StartRequest r = bench.request("");
  r.argv = {
      "/bin/sh", "-c", "ls /proc/self/fd | tr '\\n' ' '; grep SigIgn /proc/$$/status; printf '%s|' \"$@\"",
      "x y",     "1",  "",
      "2 3"};
  const ExitRecord plain = bench.run(r);
  REQUIRE(plain.code == 0);
  const std::string untraced = bench.log();
  REQUIRE(bench.trace(r).code == 0);
  REQUIRE(bench.log() == untraced);
}

TEST_CASE("what may outlive its keeper is not traced") {
  TraceBench bench;
  StartRequest r = bench.request("exit 0");
  r.leave_running = true;
  REQUIRE(bench.trace(r).succeeded());
  REQUIRE_FALSE(util::exists(bench.dir / "trace"));
}

TEST_CASE("a trace is read as it was written, and a torn one as far as it goes") {
  FileTraceReport report{
      "half of it", {"a note"}, {{"/a b\n", true, false, false}, {"/c", false, true, true, true}}};
  const std::string text = format_trace(report);
  const FileTraceReport back = parse_trace(text);
  REQUIRE(back.problem == report.problem);
  REQUIRE(back.notes == report.notes);
  REQUIRE(back.files.size() == 2);
  REQUIRE(back.files[0].path == "/a b\n");
  REQUIRE(back.files[0].read);
  REQUIRE(back.files[1].executed);
  REQUIRE(back.files[1].written);
  REQUIRE(back.files[1].kept);
  REQUIRE(parse_trace(text.substr(0, text.size() - 2)).files.size() == 1);
  REQUIRE_FALSE(parse_trace("").problem.empty());
  REQUIRE_FALSE(parse_trace("nonsense").problem.empty());
}
