#include <mlops/error.hpp>
#include <mlops/workspace.hpp>

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

using namespace mlops;

TEST_CASE("a workspace is found upwards, made at the root of the git tree, and named explicitly") {
  const TempDir dir;
  ::unsetenv("MLOPS_WORKSPACE");
  util::make_directories(dir / "project/.git");
  util::make_directories(dir / "project/a/b");
  bool created = false;
  REQUIRE_FALSE(Workspace::find(dir / "project/a/b"));
  const Workspace made = Workspace::find_or_create(dir / "project/a/b", "", created);
  REQUIRE(created);
  REQUIRE(made.root() == dir / "project");
  REQUIRE(Workspace::find(dir / "project/a/b")->root() == made.root());
  Workspace::find_or_create(dir / "project/a", "", created);
  REQUIRE_FALSE(created);
  REQUIRE(util::read_file(made.state_directory() + "/.gitignore") == "*\n");

  REQUIRE(Workspace::find_or_create(dir / "project", dir / "elsewhere", created).root() == dir / "elsewhere");
  REQUIRE_THROWS_AS(Workspace::require(dir.path()), Error);
}

TEST_CASE("paths inside are relative to the root, others absolute") {
  const TempDir dir;
  const Workspace workspace = Workspace::create(dir.path());
  REQUIRE(workspace.relative(dir / "data/../x.csv") == "x.csv");
  REQUIRE(workspace.relative(dir.path()) == ".");
  REQUIRE(workspace.relative("/etc/passwd") == "/etc/passwd");
  REQUIRE(workspace.relative(dir.path() + "-beside/x") == dir.path() + "-beside/x");
}

TEST_CASE("what mlops makes is for its owner alone, and what others may write to is refused") {
  const TempDir dir;
  const mode_t before = ::umask(0);
  const Workspace workspace = Workspace::create(dir / "w");
  ::umask(before);
  struct stat st {};
  REQUIRE(::stat(workspace.state_directory().c_str(), &st) == 0);
  REQUIRE((st.st_mode & 0777) == 0700);
  REQUIRE_NOTHROW(workspace.check_owner());
  ::chmod(workspace.state_directory().c_str(), 0770);
  REQUIRE_THROWS_AS(workspace.check_owner(), Error);
}
