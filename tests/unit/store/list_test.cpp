#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/snapshot.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <algorithm>

using namespace mlops;
using namespace mlops::store;

TEST_CASE("a list tells the files of a folder and vouches for none of them") {
  TempDir dir;
  util::make_directories(dir / "data/deep");
  for (int i = 0; i < 2'000; ++i) util::write_file(dir / ("data/f" + std::to_string(i)), std::to_string(i));
  util::write_file(dir / "data/deep/x", "x");
  Objects objects(dir / "store");
  Snapshots snapshots(objects);
  util::Digest list;
  Content content;
  {
    Publisher publisher(objects);
    const auto listed = snapshots.list(dir / "data", publisher);
    REQUIRE(listed);
    content = listed->first;
    list = listed->second;
    publisher.commit();
  }
  REQUIRE(content == *snapshots.look(dir / "data"));
  REQUIRE(list != content.digest);
  REQUIRE_FALSE(objects.has(content.digest));
  std::vector<std::string> paths;
  walk_tree(objects, list, [&](TreeEntry&& entry) {
    REQUIRE_FALSE(objects.has(entry.digest));
    paths.push_back(entry.path);
    return true;
  });
  REQUIRE(paths.size() == 2'001);
  REQUIRE(paths[0] == "deep/x");

  // The whole folder is still read when it is to be kept.
  Publisher publisher(objects);
  REQUIRE(snapshots.keep(dir / "data", publisher) == content);
  publisher.commit();
  walk_tree(objects, content.digest, [&](TreeEntry&& entry) {
    REQUIRE(objects.has(entry.digest));
    return true;
  });

  // What garbage collection keeps for a list are its own nodes.
  std::vector<util::Digest> reached;
  WalkedNodes walked;
  walk_objects(objects, list, walked, [&](const util::Digest& digest) { reached.push_back(digest); });
  REQUIRE(walked.size() == reached.size());
  REQUIRE(reached.size() < 100);
  REQUIRE(std::ranges::find(reached, util::digest_of("x")) == reached.end());
}

TEST_CASE("there is no list of what is no folder") {
  TempDir dir;
  util::write_file(dir / "file", "x");
  Objects objects(dir / "store");
  Snapshots snapshots(objects);
  Publisher publisher(objects);
  REQUIRE_FALSE(snapshots.list(dir / "file", publisher));
  REQUIRE_FALSE(snapshots.list(dir / "nothing", publisher));
}

TEST_CASE("looking into a folder tells every file once, in order") {
  TempDir dir;
  util::make_directories(dir / "data/b");
  util::make_directories(dir / "data/empty");
  util::write_file(dir / "data/a", "1");
  util::write_file(dir / "data/b/c", "2");
  Objects objects(dir / "store");
  Snapshots snapshots(objects);
  std::vector<std::string> paths;
  const auto note = [&](const TreeEntry& entry) { paths.push_back(entry.path); };
  REQUIRE(snapshots.look_into(dir / "data", note));
  REQUIRE(paths == std::vector<std::string>{"a", "b/c", "empty/"});
  REQUIRE_FALSE(snapshots.look_into(dir / "nothing", note));
}
