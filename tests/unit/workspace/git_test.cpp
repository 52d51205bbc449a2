#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "workspace/environment.hpp"

#include <cstdlib>

using namespace mlops;

namespace {

bool git(const TempDir& dir, const std::string& words) {
  const std::string line =
      "cd '" + dir.path() + "' && git -c user.name=me -c user.email=me@here " + words + " >/dev/null 2>&1";
  return std::system(line.c_str()) == 0;
}

}  // namespace

TEST_CASE("git tells the commit, and whether tracked files have changed") {
  const TempDir dir;
  ::setenv("GIT_CEILING_DIRECTORIES", dir.path().c_str(), 1);
  REQUIRE_FALSE(workspace::git_state(dir.path()));
  if (!git(dir, "--version")) {
    WARN("there is no git: not tried");
    return;
  }
  REQUIRE(git(dir, "init"));
  REQUIRE_FALSE(workspace::git_state(dir.path()));  // no commit yet
  util::write_file(dir / "file", "one");
  REQUIRE(git(dir, "add file"));
  REQUIRE(git(dir, "commit -m first"));
  auto state = workspace::git_state(dir.path());
  REQUIRE(state);
  REQUIRE(state->commit.size() >= 40);
  REQUIRE(state->dirty == false);
  util::write_file(dir / "beside", "not tracked");
  REQUIRE(workspace::git_state(dir.path())->dirty == false);
  util::write_file(dir / "file", "two");
  state = workspace::git_state(dir.path());
  REQUIRE(state->dirty == true);
}
