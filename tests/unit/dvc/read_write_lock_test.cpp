#include "dvc/read_write_lock.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <unistd.h>

using namespace mlops;
using dvc::ReadWriteLock;
using nlohmann::json;

namespace {

constexpr pid_t living = 1, dead = 999'999'999;

std::string list_of(const char* kind, pid_t pid, const char* command) {
  const json info = {{"pid", pid}, {"cmd", command}};
  const json entry = kind == std::string("read") ? json::array({info}) : info;
  return json({{kind, {{"/p/out", entry}}}}).dump();
}

}  // namespace

TEST_CASE("who reads or writes under DVC is not to be disturbed") {
  const TempDir dir;
  const ReadWriteLock lock(dir.path(), 0, "x");
  const auto blocked = [&](const dvc::Access& access) { return lock.blocker(access).has_value(); };
  CHECK_FALSE(blocked({.reads = {}, .writes = {"/p/out"}}));

  util::write_file(dir / "rwlock", list_of("write", living, "dvc repro"));
  const auto holder = lock.blocker({.reads = {"/p/out/a"}, .writes = {}});
  REQUIRE(holder);
  CHECK((holder->pid == living && holder->command == "dvc repro" && holder->path == "/p/out" &&
         holder->writes));
  CHECK(blocked({.reads = {}, .writes = {"/p/out"}}));
  CHECK(blocked({.reads = {}, .writes = {"/p"}}));
  CHECK_FALSE(blocked({.reads = {"/p/outer"}, .writes = {"/p/other"}}));

  util::write_file(dir / "rwlock", list_of("read", living, "dvc status"));
  CHECK(blocked({.reads = {}, .writes = {"/p/out"}}));
  CHECK_FALSE(blocked({.reads = {"/p/out"}, .writes = {}}));

  util::write_file(dir / "rwlock", list_of("write", dead, "dvc repro"));
  CHECK_FALSE(blocked({.reads = {}, .writes = {"/p/out"}}));
  util::write_file(dir / "rwlock", list_of("write", living, "mlops run dvc.yaml"));
  CHECK_FALSE(blocked({.reads = {}, .writes = {"/p/out"}}));
  util::write_file(dir / "rwlock", list_of("write", ::getppid(), "dvc repro"));  // it has started us
  CHECK_FALSE(blocked({.reads = {}, .writes = {"/p/out"}}));
}

TEST_CASE("a stage is in DVC's list from its start to its end") {
  const TempDir dir;
  const auto list = [&] { return json::parse(util::read_file(dir / "rwlock")); };
  const json own = {{"pid", 77}, {"cmd", "mlops run dvc.yaml"}};
  {
    ReadWriteLock lock(dir.path(), 77, "dvc.yaml");
    CHECK_FALSE(lock.take(0, {.reads = {"/p/in"}, .writes = {"/p/a"}}));
    CHECK_FALSE(lock.take(1, {.reads = {"/p/in"}, .writes = {"/p/b"}}));
    CHECK(list()["write"] == json({{"/p/a", own}, {"/p/b", own}}));
    CHECK(list()["read"] == json({{"/p/in", json::array({own})}}));
    lock.release(0);
    CHECK(list()["write"] == json({{"/p/b", own}}));
    CHECK(list()["read"].size() == 1);

    json others = list();
    others["read"]["/p/in"].push_back({{"pid", living}, {"cmd", "dvc status"}});
    util::write_file(dir / "rwlock", others.dump());
    CHECK(lock.take(2, {.reads = {}, .writes = {"/p/in"}}));
    CHECK(list() == others);
  }
  CHECK(list()["write"].empty());
  CHECK(list()["read"]["/p/in"].size() == 1);
}

TEST_CASE("a list of DVC's that cannot be read is no leave to go on") {
  const TempDir dir;
  const ReadWriteLock lock(dir.path(), 0, "x");
  for (const char* text : {"", "{", "[]", R"({"write": {"/p": {"pid": "1", "cmd": "x"}}})"}) {
    util::write_file(dir / "rwlock", text);
    CHECK_THROWS_AS(lock.blocker({.reads = {"/p"}, .writes = {}}), dvc::UnknownUse);
  }
}
