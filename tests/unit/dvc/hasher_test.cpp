#include "dvc/hasher.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/objects.hpp"
#include "temp_dir.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"

#include <unistd.h>

using namespace mlops;

TEST_CASE("a directory's digest is that of its list, as in DVC's documentation") {
  CHECK(util::md5(dvc::tree_text({{"cat.jpeg", "dff70c0392d7d386c39a23c64fcc0376", "", {}},
                                  {"index.jpeg", "29a6c8271c0c8fbf75d3b97aecee589f", "", {}}})) ==
        util::md5(R"([{"md5": "dff70c0392d7d386c39a23c64fcc0376", "relpath": "cat.jpeg"}, )"
                  R"({"md5": "29a6c8271c0c8fbf75d3b97aecee589f", "relpath": "index.jpeg"}])"));
  CHECK(util::md5(dvc::tree_text({})) == "d751713988987e9331980363e24189ce");
  CHECK(dvc::tree_text({{"ü", "ab", "", {}}}) == R"([{"md5": "ab", "relpath": "\u00fc"}])");
}

TEST_CASE("files and directories are digested as DVC does, and remembered") {
  const TempDir dir;
  store::Objects objects(dir / "store");
  const std::string root = dir / "p";
  util::make_directories(root + "/d/sub");
  util::make_directories(root + "/d/skip");
  util::write_file(root + "/d/a", "hello");
  util::write_file(root + "/d/sub/b", "x\r\ny\r\n");
  util::write_file(root + "/d/skip/c", "no");
  util::write_file(root + "/.dvcignore", "skip/\n");
  REQUIRE(::symlink("a", (root + "/d/link").c_str()) == 0);
  REQUIRE(::symlink("sub", (root + "/d/folder").c_str()) == 0);
  dvc::Hasher hasher(objects, root);
  const auto file = hasher.look(root + "/d/a");
  REQUIRE(file);
  CHECK(file->md5 == "5d41402abc4b2a76b9719d911017c592");
  const auto folder = hasher.look(root + "/d", dvc::Hash::md5, true);
  REQUIRE(folder);
  REQUIRE(folder->tree.size() == 3);
  CHECK(folder->tree[0].path == "a");
  CHECK(folder->tree[1].path == "link");
  CHECK(folder->tree[1].md5 == file->md5);
  CHECK(folder->tree[2].path == "sub/b");
  CHECK(folder->md5.ends_with(".dir"));
  CHECK(folder->files == 3);
  CHECK(hasher.look(root + "/d/sub/b", dvc::Hash::md5_dos2unix)->md5 == util::md5("x\ny\n"));
  CHECK_FALSE(hasher.look(root + "/none"));
  hasher.save();
  CHECK(dvc::Hasher(objects, root).look(root + "/d")->md5 == folder->md5);
  util::write_file(root + "/d/sub/.dvcignore", "");
  CHECK_THROWS_AS(hasher.look(root + "/d"), Error);
}
