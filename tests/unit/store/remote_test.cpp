#include "store/remote.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/fetch.hpp"
#include "store/pack.hpp"
#include "store/push.hpp"
#include "store/tree.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

using namespace mlops;
using namespace mlops::store;
namespace fs = std::filesystem;

namespace {

// A workspace's store, and its view of the remote.
struct Side {
  explicit Side(const std::string& directory, const std::string& at)
      : objects(directory), remote(open_remote(parse_remote_address(at))), catalog(objects, *remote, "r") {}
  PushResult push(const std::vector<Root>& roots, bool check = false) {
    catalog.open_or_make();
    return push_objects(objects, *remote, catalog, roots, {.check = check}, nullptr);
  }
  FetchResult fetch(const std::vector<Root>& roots) {
    REQUIRE(catalog.open());
    return fetch_objects(objects, *remote, catalog, roots, false, nullptr);
  }
  Objects objects;
  std::unique_ptr<Remote> remote;
  RemoteCatalog catalog;
};

// A directory of `files` small files and a large one.
Root publish_tree(Objects& objects, int files, char fill = 'L') {
  Publisher publisher(objects);
  TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
  for (int i = 0; i < files; ++i) {
    const std::string bytes = "content " + std::to_string(i) + fill;
    char name[16];
    std::snprintf(name, sizeof name, "f%06d", i);
    builder.add({FileMode::file, bytes.size(), publisher.add(bytes), name});
  }
  const std::string large(3 << 20, fill);
  builder.add({FileMode::file, large.size(), publisher.add(large), "large"});
  const TreeSummary tree = builder.finish();
  publisher.commit();
  return {tree.digest, true};
}

std::vector<std::string> files_below(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) names.push_back(entry.path().string());
  }
  return names;
}

void flip_byte(const std::string& path, std::streamoff at) {
  ::chmod(path.c_str(), 0644);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char c = static_cast<char>(file.get() ^ 1);
  file.seekp(at);
  file.put(c);
}

}  // namespace

TEST_CASE("what one store pushes another fetches, and nothing twice") {
  const TempDir dir;
  Side a(dir / "a", dir / "remote");
  const Root tree = publish_tree(a.objects, 2'000);
  const PushResult pushed = a.push({tree});
  REQUIRE(pushed.objects > 2'000);
  REQUIRE(pushed.packs == 1);
  REQUIRE(pushed.there == 0);
  REQUIRE(files_below(dir / "remote").size() == 4);  // the pack, its table, the large one, the identity
  REQUIRE(a.push({tree}).objects == 0);
  REQUIRE(a.push({tree}, true).objects == 0);

  Side b(dir / "b", dir / "remote");
  const FetchResult fetched = b.fetch({tree});
  REQUIRE(fetched.objects == pushed.objects);
  REQUIRE(fetched.bytes == pushed.bytes);
  REQUIRE(fetched.absent == 0);
  int files = 0;
  walk_tree(b.objects, tree.digest, [&](TreeEntry&& entry) {
    REQUIRE(b.objects.read(entry.digest));
    return ++files > 0;
  });
  REQUIRE(files == 2'001);
  REQUIRE(b.fetch({tree}).objects == 0);

  // One that is a little different costs a little: from the pack only what is new.
  const Root other = publish_tree(a.objects, 2'001);
  REQUIRE(a.push({other}).objects < 10);
  REQUIRE(b.fetch({other}).objects < 10);
}

TEST_CASE("wrong bytes on a remote never reach the store") {
  const TempDir dir;
  Side a(dir / "a", dir / "remote");
  const Root tree = publish_tree(a.objects, 500);
  a.push({tree});
  Side b(dir / "b", dir / "remote");
  SECTION("of a large object") {
    const std::string large(3 << 20, 'L');
    const std::string path = dir / "remote/" + object_name(util::digest_of(large));
    flip_byte(path, 1'000'000);
    const FetchResult result = b.fetch({tree});
    REQUIRE(result.damaged == std::vector<util::Digest>{util::digest_of(large)});
    REQUIRE_FALSE(b.objects.has(util::digest_of(large)));
    REQUIRE(b.objects.has(tree.digest));
    // Nothing of it is taken for the beginning of the right one later.
    REQUIRE(a.objects.has(util::digest_of(large)));
    fs::remove(path);
    REQUIRE(a.push({tree}, true).objects == 1);
    REQUIRE(b.fetch({tree}).objects == 1);
    REQUIRE(b.objects.read(util::digest_of(large)) == large);
  }
  SECTION("in a pack") {
    for (const std::string& path : files_below(dir / "remote/packs")) {
      if (path.ends_with(".pack")) flip_byte(path, 14);  // the first object: the top of the tree
    }
    const FetchResult result = b.fetch({tree});
    REQUIRE(result.damaged.size() == 1);
    REQUIRE(result.objects == 0);
  }
  SECTION("a file that is cut off") {
    const std::string large(3 << 20, 'L');
    fs::resize_file(dir / "remote/" + object_name(util::digest_of(large)), 1'000);
    const FetchResult result = b.fetch({tree});
    REQUIRE(result.damaged.size() + result.absent == 1);
    REQUIRE_FALSE(b.objects.has(util::digest_of(large)));
  }
  SECTION("a table that is no table") {
    for (const std::string& path : files_below(dir / "remote/packs")) {
      if (path.ends_with(".idx")) util::write_file(path, "nonsense");
    }
    REQUIRE(b.fetch({tree}).absent == 1);
  }
}

TEST_CASE("damage here is not carried there") {
  const TempDir dir;
  Side a(dir / "a", dir / "remote");
  const Root tree = publish_tree(a.objects, 10);
  const util::Digest large = util::digest_of(std::string(3 << 20, 'L'));
  flip_byte(a.objects.object_path(large), 77);
  REQUIRE(a.push({tree}).damaged == 1);
  REQUIRE_FALSE(util::exists(dir / "remote/" + object_name(large)));
  REQUIRE_FALSE(a.objects.has(large));
}

TEST_CASE("a large object goes on where it stopped") {
  const TempDir dir;
  Side a(dir / "a", dir / "remote");
  const Root tree = publish_tree(a.objects, 1);
  a.push({tree});
  const std::string large(3 << 20, 'L');
  Side b(dir / "b", dir / "remote");
  const std::string part = dir / "b/tmp/fetch-" + util::digest_of(large).hex() + ".part";
  SECTION("with what is right") {
    util::write_file(part, large.substr(0, 1 << 20));
    // What is there already is not read again: this byte would be noticed.
    flip_byte(dir / "remote/" + object_name(util::digest_of(large)), 5);
    REQUIRE(b.fetch({tree}).damaged.empty());
    REQUIRE(b.objects.read(util::digest_of(large)) == large);
  }
  SECTION("with what is wrong, which is thrown away") {
    util::write_file(part, std::string(1 << 20, 'x'));
    REQUIRE(b.fetch({tree}).damaged.empty());
    REQUIRE_FALSE(util::exists(part));
    REQUIRE(b.objects.read(util::digest_of(large)) == large);
  }
  SECTION("or is too long") {
    util::write_file(part, std::string(4 << 20, 'L'));
    REQUIRE(b.fetch({tree}).damaged.empty());
    REQUIRE(b.objects.read(util::digest_of(large)) == large);
  }
}

TEST_CASE("a remote that was used before and is gone is not taken for an empty one") {
  const TempDir dir;
  Side a(dir / "a", dir / "remote");
  const Root tree = publish_tree(a.objects, 3);
  a.push({tree});
  fs::rename(dir / "remote", dir / "unmounted");
  REQUIRE_THROWS_AS(a.push({tree}), Error);
  REQUIRE_FALSE(util::exists(dir / "remote"));
  fs::rename(dir / "unmounted", dir / "remote");
  REQUIRE(a.push({tree}).objects == 0);

  // Another one at its place is not believed to have what the first one had.
  fs::rename(dir / "remote", dir / "first");
  Side other(dir / "o", dir / "remote");
  other.push({publish_tree(other.objects, 1, 'x')});
  REQUIRE(a.push({tree}).objects > 3);
}

TEST_CASE("objects that vanished from a remote are sent again by a push that checks") {
  const TempDir dir;
  Side a(dir / "a", dir / "remote");
  const Root tree = publish_tree(a.objects, 100);
  a.push({tree});
  fs::remove_all(dir / "remote/objects");
  REQUIRE(a.push({tree}).objects == 0);
  REQUIRE(a.push({tree}, true).objects == 1);
  // Packs are listed by every push.
  fs::remove_all(dir / "remote/packs");
  REQUIRE(a.push({tree}).objects > 100);
}

TEST_CASE("a directory whose parent is not there is no remote") {
  const TempDir dir;
  Side a(dir / "a", dir / "not-mounted/remote");
  try {
    a.push({publish_tree(a.objects, 1)});
    FAIL();
  } catch (const Error& error) {
    REQUIRE(error.code() == ExitCode::unreachable);
  }
  REQUIRE_FALSE(util::exists(dir / "not-mounted"));
}

TEST_CASE("a pack's table is read apart from the pack") {
  std::vector<db::PackedObject> objects = {{util::digest_of("b"), "", 13, 1},
                                           {util::digest_of("a"), "", 14, 1}};
  const std::string tail = pack_tail(objects, 15);
  REQUIRE(read_pack_tail(tail, "n").size() == 2);
  REQUIRE(read_pack_tail(tail, "n")[0].pack == "n");
  for (std::size_t cut = 0; cut < tail.size(); ++cut)
    REQUIRE(read_pack_tail(tail.substr(cut ? cut : 1), "n").empty());
}
