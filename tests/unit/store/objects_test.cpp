#include "store/objects.hpp"

#include "catch.hpp"
#include "store/gc.hpp"
#include "store/tree.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <thread>

using namespace mlops;
using namespace mlops::store;
namespace fs = std::filesystem;

namespace {

std::size_t files_in(const std::string& directory) {
  std::size_t count = 0;
  for (const auto& found : fs::recursive_directory_iterator(directory)) count += found.is_regular_file();
  return count;
}

util::Digest publish(Objects& objects, const std::string& bytes) {
  Publisher publisher(objects);
  const util::Digest digest = publisher.add(bytes);
  publisher.commit();
  return digest;
}

constexpr GcOptions at_once{.dry_run = false, .grace = std::chrono::seconds(-10)};

}  // namespace

TEST_CASE("nothing of a batch is there before its commit, all of it afterwards") {
  const TempDir dir;
  Objects objects(dir / "store");
  const std::string large(100'000, 'L');
  util::Digest a, b;
  {
    Publisher publisher(objects);
    a = publisher.add("small");
    b = publisher.add(large);
    REQUIRE_FALSE(objects.has(a));
    REQUIRE_FALSE(objects.has(b));
    SECTION("committed") {
      publisher.commit();
      REQUIRE(objects.read(a) == "small");
      REQUIRE(objects.read(b) == large);
      struct stat st {};
      REQUIRE(::stat(objects.object_path(b).c_str(), &st) == 0);
      REQUIRE((st.st_mode & 0777) == 0444);
    }
    SECTION("dropped") {}
  }
  REQUIRE(files_in(dir / "store/tmp") == 0);
}

TEST_CASE("many small objects share a pack, which an index made anew finds again") {
  const TempDir dir;
  std::vector<util::Digest> digests;
  {
    Objects objects(dir / "store");
    Publisher publisher(objects);
    for (int i = 0; i < 1'000; ++i) digests.push_back(publisher.add("object " + std::to_string(i)));
    publisher.commit();
    REQUIRE(usage_of(objects).packs == 1);
    REQUIRE(usage_of(objects).packed_objects == 1'000);
    REQUIRE(files_in(dir / "store/objects") == 0);
  }
  SECTION("the index is lost") {
    for (const char* ending : {"", "-wal", "-shm"})
      fs::remove(dir / ("store/index.db" + std::string(ending)));
  }
  SECTION("the index is garbage") {
    fs::remove(dir / "store/index.db-wal");
    util::write_file(dir / "store/index.db", std::string(8'192, 'g'));
  }
  Objects objects(dir / "store");
  for (int i = 0; i < 1'000; ++i)
    REQUIRE(objects.read(digests[static_cast<std::size_t>(i)]) == "object " + std::to_string(i));
}

TEST_CASE("an object is stored once, however often and by however many it is published") {
  const TempDir dir;
  const std::string bytes(50'000, 'b');
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      Objects objects(dir / "store");
      for (int k = 0; k < 5; ++k) publish(objects, bytes);
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(files_in(dir / "store/objects") == 1);
  REQUIRE(files_in(dir / "store/tmp") == 0);
}

TEST_CASE("every flipped bit is found on use, and the object counts as absent") {
  const TempDir dir;
  Objects objects(dir / "store");
  for (int i = 0; i < 100; ++i) {
    const std::string bytes =
        "content " + std::to_string(i) + std::string(20'000, static_cast<char>('a' + i % 26));
    const util::Digest digest = publish(objects, bytes);
    const std::string path = objects.object_path(digest);
    std::string damaged = bytes;
    damaged[static_cast<std::size_t>(i * 97) % damaged.size()] ^= static_cast<char>(1 << (i % 8));
    fs::permissions(path, fs::perms::owner_all);
    util::write_file(path, damaged);
    REQUIRE_FALSE((i % 2 != 0 ? objects.read(digest).has_value() : objects.verify(digest)));
    REQUIRE_FALSE(objects.has(digest));
    REQUIRE(publish(objects, bytes) == digest);
    REQUIRE(objects.read(digest) == bytes);
  }
  REQUIRE(usage_of(objects).quarantined == 100);
}

TEST_CASE("a damaged object in a pack does not take the others with it") {
  const TempDir dir;
  Objects objects(dir / "store");
  Publisher publisher(objects);
  std::vector<util::Digest> digests;
  for (int i = 0; i < 20; ++i) digests.push_back(publisher.add("object number " + std::to_string(i)));
  publisher.commit();
  const std::string pack = fs::directory_iterator(dir / "store/packs")->path().string();
  std::string bytes = util::read_file(pack);
  bytes[bytes.find("object number 7")] ^= 1;
  fs::permissions(pack, fs::perms::owner_all);
  util::write_file(pack, bytes);
  for (std::size_t i = 0; i < digests.size(); ++i) REQUIRE(objects.verify(digests[i]) == (i != 7));
  REQUIRE_FALSE(objects.has(digests[7]));
  REQUIRE(publish(objects, "object number 7") == digests[7]);
  REQUIRE(objects.verify(digests[7]));
}

TEST_CASE("a torn pack is not used") {
  const TempDir dir;
  Objects objects(dir / "store");
  Publisher publisher(objects);
  std::vector<util::Digest> digests;
  for (int i = 0; i < 20; ++i) digests.push_back(publisher.add("object " + std::to_string(i)));
  publisher.commit();
  const std::string pack = fs::directory_iterator(dir / "store/packs")->path().string();
  const std::string whole = util::read_file(pack);
  for (const char* ending : {"", "-wal", "-shm"}) fs::remove(dir / ("store/index.db" + std::string(ending)));
  fs::permissions(pack, fs::perms::owner_all);
  for (const std::size_t size : {std::size_t{0}, std::size_t{10}, whole.size() / 2, whole.size() - 1}) {
    util::write_file(pack, whole.substr(0, size));
    REQUIRE_FALSE(Objects(dir / "store").has(digests[0]));
  }
  util::write_file(pack, whole);
  REQUIRE(Objects(dir / "store").has(digests[0]));
}

TEST_CASE("gc removes what no root reaches, spares the young, and rewrites packs that are mostly dead") {
  const TempDir dir;
  Objects objects(dir / "store");
  const std::string large(30'000, 'k');
  const util::Digest kept = publish(objects, large), dead = publish(objects, large + "dead");
  Publisher publisher(objects);
  std::vector<util::Digest> small;
  for (int i = 0; i < 100; ++i) small.push_back(publisher.add("small object " + std::to_string(i)));
  publisher.commit();
  Publisher trees(objects);
  TreeBuilder builder([&](std::string_view bytes) { return trees.add(bytes); });
  for (int i = 0; i < 10; ++i)
    builder.add({FileMode::file, 14, small[static_cast<std::size_t>(i)], "f" + std::to_string(i)});
  const util::Digest tree = builder.finish().digest;
  trees.commit();
  const std::vector<Root> roots = {{kept, false}, {tree, true}};

  REQUIRE(collect_garbage(objects, roots, {}).removed_objects == 0);  // all are young
  GcOptions dry = at_once;
  dry.dry_run = true;
  REQUIRE(collect_garbage(objects, roots, dry).removed_objects == 91);
  REQUIRE(objects.has(dead));

  const GcResult result = collect_garbage(objects, roots, at_once);
  REQUIRE(result.removed_objects == 91);
  REQUIRE(result.kept_objects == 12);
  REQUIRE(result.missing_objects == 0);
  REQUIRE(objects.has(kept));
  REQUIRE_FALSE(objects.has(dead));
  for (std::size_t i = 0; i < small.size(); ++i) REQUIRE(objects.verify(small[i]) == (i < 10));
  REQUIRE(collect_garbage(objects, {}, at_once).kept_objects == 0);
  REQUIRE(usage_of(objects).packed_objects + usage_of(objects).loose_objects == 0);
}
