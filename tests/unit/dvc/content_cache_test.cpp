#include "dvc/content_cache.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <filesystem>

using namespace mlops;
namespace fs = std::filesystem;

TEST_CASE("what is linked to the cache becomes a file of its own, other links stay") {
  const TempDir dir;
  const std::string cache = dir / "cache";
  util::make_directories(cache);
  util::make_directories(dir / "out/sub");
  for (const char* name : {"a", "b", "far"}) util::write_file(dir / ("cache/" + std::string(name)), "old");
  fs::rename(dir / "cache/far", dir / "far");
  fs::create_symlink(cache + "/a", dir / "out/soft");
  fs::create_symlink("../../cache/a", dir / "out/sub/relative");
  fs::create_hard_link(cache + "/b", dir / "out/hard");
  fs::create_symlink(dir / "far", dir / "out/far");
  fs::create_symlink(cache + "/gone", dir / "out/gone");
  fs::permissions(cache + "/b", fs::perms::owner_read);

  dvc::unprotect(dir / "out", cache);
  for (const char* name : {"out/soft", "out/sub/relative", "out/hard"}) {
    CHECK(fs::is_regular_file(fs::symlink_status(dir / name)));
    util::write_file(dir / name, "new");
  }
  CHECK(util::read_file(cache + "/a") == "old");
  CHECK(util::read_file(cache + "/b") == "old");
  CHECK(fs::is_symlink(dir / "out/far"));
  CHECK_FALSE(fs::is_symlink(dir / "out/gone"));  // written through, it would put anything into the cache
}
