#include "dvc/git_ignore.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

using namespace mlops;

TEST_CASE("lines of one run come in the order of ranks, whatever ended first") {
  const TempDir dir;
  const std::string file = dir / ".gitignore";
  util::make_directories(dir / ".git");
  util::write_file(file, "mine");
  dvc::GitIgnore ignore;
  ignore.add(dir / "c", 3);
  ignore.add(dir / "a", 1);
  ignore.add(dir / "b", 1);
  ignore.add(dir / "a", 1);
  CHECK(util::read_file(file) == "mine\n/a\n/b\n/c\n");

  // What somebody adds meanwhile stays where it is.
  util::write_file(file, "mine\n/a\n/b\n/c\nnew\n");
  ignore.add(dir / "d", 2);
  CHECK(util::read_file(file) == "mine\n/a\n/b\n/c\nnew\n/d\n");
}
