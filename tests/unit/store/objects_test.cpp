#include "store/objects.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/gc.hpp"
#include "store/lease.hpp"
#include "store/reach.hpp"
#include "store/tree.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
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

TEST_CASE("of a thousand objects with one flipped bit each, alone and in packs, verify finds a thousand") {
  const TempDir dir;
  Objects objects(dir / "store");
  std::vector<util::Digest> digests;
  {
    Publisher publisher(objects);
    for (int i = 0; i < 500; ++i) digests.push_back(publisher.add("packed " + std::to_string(i)));
    publisher.commit();
  }
  for (int i = 0; i < 500; ++i) {
    Publisher publisher(objects);
    digests.push_back(publisher.add("alone " + std::to_string(i)));
    publisher.commit();
  }
  const auto flip = [](const std::string& path, std::uint64_t offset, int bit) {
    fs::permissions(path, fs::perms::owner_all);
    std::string bytes = util::read_file(path);
    bytes[offset] ^= static_cast<char>(1 << bit);
    util::write_file(path, bytes);
  };
  const std::string pack = objects.packs().at(0);
  int i = 0;
  for (const db::PackedObject& object : objects.objects_of(pack)) {
    flip(objects.pack_path(pack), object.offset + static_cast<std::uint64_t>(i) % object.size, i % 8);
    ++i;
  }
  for (std::size_t k = 500; k < 1'000; ++k)
    flip(objects.object_path(digests[k]), k % 7, static_cast<int>(k % 8));
  int damaged = 0;
  for (const util::Digest& digest : digests) damaged += objects.verify(digest) ? 0 : 1;
  REQUIRE(damaged == 1'000);
  REQUIRE(objects.incomplete());
}

TEST_CASE("a large batch is published bit by bit, what comes twice once") {
  const TempDir dir;
  Objects objects(dir / "store");
  Publisher publisher(objects);
  std::vector<util::Digest> digests;
  for (int i = 0; i < 6'000; ++i)
    digests.push_back(publisher.add("number " + std::to_string(i % 5'000) + std::string(5'000, 'x')));
  publisher.commit();
  REQUIRE(publisher.objects_written() == 5'000);
  REQUIRE(usage_of(objects).packs > 1);
  REQUIRE(usage_of(objects).packed_objects == 5'000);
  for (const util::Digest& digest : digests) REQUIRE(objects.has(digest));
  Publisher again(objects);
  for (int i = 0; i < 5'000; ++i) again.add("number " + std::to_string(i) + std::string(5'000, 'x'));
  again.commit();
  REQUIRE(again.objects_written() == 0);
}

namespace {

std::string write_temporary(Objects& objects, const std::string& bytes) {
  std::string path = objects.temporary_path();
  util::write_file(path, bytes);
  return path;
}

}  // namespace

TEST_CASE("a node does not appear before what is below it, whichever threads publish") {
  const TempDir dir;
  Objects objects(dir / "store");
  Publisher publisher(objects);
  const auto fill = [&](const std::string& name) {
    for (int i = 0; i < 600; ++i) publisher.add(name + std::to_string(i) + std::string(15'000, '.'));
  };
  util::Digest node;
  const auto add_node = [&] {
    TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
    builder.add({FileMode::file, 20'000, util::digest_of(std::string(20'000, 'b')), "below"});
    node = builder.finish().digest;
  };
  SECTION("while one thread is still at the files below") {
    // Whoever syncs a pipe waits until somebody opens its other end, and then fails.
    const std::string pipe = objects.temporary_path();
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    publisher.add_written(util::digest_of(std::string(20'000, 'b')), pipe, 20'000);
    std::atomic<int> failed = 0;
    const auto work = [&](const std::string& name) {
      try {
        fill(name);
      } catch (const Error&) {
        ++failed;
      }
    };
    std::thread first([&] { work("first"); });
    ::usleep(300'000);
    add_node();
    std::thread second([&] { work("second"); });
    ::usleep(300'000);
    CHECK_FALSE(objects.has(node));
    const util::Fd other_end(::open(pipe.c_str(), O_RDWR | O_CLOEXEC));
    first.join();
    second.join();
    REQUIRE(failed == 2);
    REQUIRE_THROWS_AS(publisher.commit(), Error);
  }
  SECTION("when the files below could not be published") {
    for (int i = 0; i < 511; ++i) {
      const std::string bytes = "large " + std::to_string(i);
      publisher.add_written(util::digest_of(bytes), write_temporary(objects, bytes), bytes.size());
    }
    REQUIRE_THROWS_AS(
        publisher.add_written(util::digest_of(std::string(20'000, 'b')), objects.temporary_path(), 20'000),
        Error);
    add_node();
    REQUIRE_THROWS_AS(fill("more"), Error);
    REQUIRE_THROWS_AS(publisher.commit(), Error);
  }
  SECTION("a node that is no small object") {
    TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
    const util::Digest below = publisher.add("below");
    for (int i = 0; i < 900; ++i)
      builder.add({FileMode::file, 5, below, std::to_string(1'000 + i) + std::string(4'000, 'n')});
    builder.finish();
    for (int i = 0; i < 512; ++i) {
      const std::string bytes = "large " + std::to_string(i);
      publisher.add_written(util::digest_of(bytes), write_temporary(objects, bytes), bytes.size());
    }
    REQUIRE(usage_of(objects).loose_bytes > 500'000);
    REQUIRE(objects.has(below));
    publisher.commit();
    return;
  }
  REQUIRE_FALSE(objects.has(node));
  REQUIRE(files_in(dir / "store/tmp") == 0);
}

TEST_CASE("a pack that is gone is not counted on") {
  const TempDir dir;
  Objects objects(dir / "store");
  const auto publish_many = [&] {
    Publisher publisher(objects);
    for (int i = 0; i < 20; ++i) publisher.add("object " + std::to_string(i));
    publisher.commit();
    return publisher.objects_written();
  };
  REQUIRE(publish_many() == 20);
  fs::remove(fs::directory_iterator(dir / "store/packs")->path());
  Objects later(dir / "store");
  REQUIRE_FALSE(later.refresh(util::digest_of("object 3")));
  Publisher publisher(later);
  publisher.add("object 3");
  publisher.commit();
  REQUIRE(later.read(util::digest_of("object 3")) == "object 3");
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
  const auto all = [&] { return std::vector<Root>{{kept, false}, {tree, true}}; };
  const auto none = [] { return std::vector<Root>(); };

  REQUIRE(collect_garbage(objects, all, {}).removed.objects == 0);  // all are young
  GcOptions dry = at_once;
  dry.dry_run = true;
  REQUIRE(collect_garbage(objects, all, dry).removed.objects == 91);
  REQUIRE(objects.has(dead));

  const GcResult result = collect_garbage(objects, all, at_once);
  REQUIRE(result.removed.objects == 91);
  REQUIRE(result.all_kept().objects == 12);
  REQUIRE(result.missing_objects == 0);
  REQUIRE(objects.has(kept));
  REQUIRE_FALSE(objects.has(dead));
  for (std::size_t i = 0; i < small.size(); ++i) REQUIRE(objects.verify(small[i]) == (i < 10));
  REQUIRE(collect_garbage(objects, none, at_once).all_kept().objects == 0);
  REQUIRE(usage_of(objects).packed_objects + usage_of(objects).loose_objects == 0);
}

namespace {

struct Gc : TempDir {
  Objects objects{*this / "store"};
  // A tree of `count` small files, numbered from `first`.
  util::Digest publish_tree(int first, int count, const std::string& what = "file") {
    Publisher publisher(objects);
    TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
    for (int i = first; i < first + count; ++i) {
      const std::string bytes = what + " " + std::to_string(i) + std::string(400, '.');
      builder.add({FileMode::file, bytes.size(), publisher.add(bytes), "f" + std::to_string(100'000 + i)});
    }
    const util::Digest tree = builder.finish().digest;
    publisher.commit();
    return tree;
  }
  bool whole(const util::Digest& tree) { return missing_of(objects, {{tree, true}})[0] == 0; }
  GcResult collect(const std::vector<Root>& roots, std::chrono::seconds grace = std::chrono::seconds(-10)) {
    return collect_garbage(objects, [&] { return roots; }, {.dry_run = false, .grace = grace});
  }
  static std::size_t place(Keeper keeper) { return static_cast<std::size_t>(keeper); }
};

}  // namespace

TEST_CASE("gc tells for each reason what it keeps, and counts an object once") {
  Gc gc;
  const util::Digest a = gc.publish_tree(0, 100), b = gc.publish_tree(50, 100), c = gc.publish_tree(500, 10);
  const GcResult result = gc.collect(
      {{a, true, Keeper::pin}, {b, true, Keeper::run}, {util::digest_of("x"), false, Keeper::pin, true}});
  REQUIRE(result.kept[Gc::place(Keeper::pin)].objects >= 101);
  REQUIRE(result.kept[Gc::place(Keeper::run)].objects >= 51);
  REQUIRE(result.kept[Gc::place(Keeper::run)].objects < 60);
  REQUIRE(result.removed.objects >= 11);
  REQUIRE(result.missing_objects == 0);  // what may be missing is not missed
  REQUIRE(gc.whole(a));
  REQUIRE(gc.whole(b));
  REQUIRE_FALSE(gc.objects.has(c));
  REQUIRE(gc.collect({{c, true, Keeper::dataset}}).missing_objects == 1);
  REQUIRE(gc.collect({{c, true, Keeper::run}}).missing_objects == 0);  // it may never have been kept
}

TEST_CASE("a file that has the bytes of a node hides nothing of what the node has below it") {
  Gc gc;
  const util::Digest tree = gc.publish_tree(0, 300);
  const std::size_t all = reach(gc.objects, {{tree, true}}).size();
  // As a file of its own, and as one of another tree.
  Publisher publisher(gc.objects);
  TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
  builder.add({FileMode::file, 1, tree, "saved"});
  const util::Digest holder = builder.finish().digest;
  publisher.commit();
  for (const Root& other : {Root{tree, false, Keeper::pin}, Root{holder, true, Keeper::pin}}) {
    REQUIRE(reach(gc.objects, {other, {tree, true}}).size() >= all);
    REQUIRE(gc.collect({other, {tree, true}}).missing_objects == 0);
    REQUIRE(gc.whole(tree));
  }
}

TEST_CASE("what is missing is told for each tree that needs it, though they share nodes") {
  Gc gc;
  const util::Digest a = gc.publish_tree(0, 2'000), b = gc.publish_tree(0, 2'001),
                     c = gc.publish_tree(5'000, 10);
  gc.objects.quarantine(util::digest_of("file 7" + std::string(400, '.')));
  REQUIRE(missing_of(gc.objects, {{a, true}, {b, true}, {c, true}, {util::digest_of("gone"), false}}) ==
          std::vector<std::uint64_t>{1, 1, 0, 1});
}

namespace {

// A lease as gc finds it: told anew each time that gc asks, which waits for the answer.
class ToldLease {
 public:
  ToldLease(std::string path, std::function<std::string(int)> lines) : path_(std::move(path)) {
    place();
    thread_ = std::thread([this, lines = std::move(lines)] {
      for (int i = 1; true; ++i) {
        const util::Fd fd(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
        if (ended_) return;
        place();  // what is asked next
        asked_ = i;
        const std::string text =
            "mlops lease 1 " + std::to_string(INT64_MAX - 1'000'000'000) + "\n" + lines(i);
        if (util::write_all(fd.get(), text) != 0) return;
      }
    });
  }
  ~ToldLease() {
    ended_ = true;
    const util::Fd other_end(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    thread_.join();
  }
  int asked() const { return asked_; }

 private:
  void place() {
    const std::string fresh = fs::path(path_).parent_path().parent_path() / "told";  // beside the leases
    if (::mkfifo(fresh.c_str(), 0600) == 0) ::rename(fresh.c_str(), path_.c_str());
  }
  std::string path_;
  std::atomic<bool> ended_ = false;
  std::atomic<int> asked_ = 0;
  std::thread thread_;
};

}  // namespace

TEST_CASE("what comes to be held while gc is at one pack is still known when it is at the next") {
  Gc gc;
  util::Digest kept;
  {
    Publisher publisher(gc.objects);
    TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
    for (int i = 0; i < 300; ++i) {
      const std::string bytes = "kept " + std::to_string(i) + std::string(400, '.');
      builder.add({FileMode::file, bytes.size(), publisher.add(bytes), "f" + std::to_string(100'000 + i)});
    }
    for (int i = 0; i < 100; ++i) publisher.add("garbage " + std::to_string(i) + std::string(400, '.'));
    kept = builder.finish().digest;
    publisher.commit();
  }
  const util::Digest taken = gc.publish_tree(0, 300), dead = gc.publish_tree(10'000, 300);
  REQUIRE(usage_of(gc.objects).packs == 3);
  std::optional<ToldLease> lease;
  const GcResult result = collect_garbage(
      gc.objects,
      [&] {
        // gc asks when it begins, then before it forgets a part of the first pack, then before it removes the
        // other two.
        lease.emplace(gc / "store/leases/1.0",
                      [&](int i) { return i < 2 ? std::string() : "d " + taken.hex() + "\n"; });
        return std::vector<Root>{{kept, true}};
      },
      at_once);
  REQUIRE(lease->asked() == 3);
  REQUIRE(result.waiting_bytes > 0);
  REQUIRE(gc.whole(kept));
  REQUIRE(gc.whole(taken));
  REQUIRE_FALSE(gc.objects.has(dead));
}

TEST_CASE("what a lease holds stays, with all below it, and so does what was made since it began") {
  Gc gc;
  const util::Digest held = gc.publish_tree(0, 300), loose = gc.publish_tree(1'000, 300);
  ::usleep(40'000);
  Objects user(gc / "store");
  const auto publish_late = [&] {
    Publisher publisher(user);
    const util::Digest late = publisher.add("late");
    publisher.commit();
    return late;
  };
  util::Digest late;
  {
    const Lease lease(user);
    user.hold(held, true);
    late = publish_late();
    const GcResult result = gc.collect({}, std::chrono::seconds(0));
    REQUIRE(result.kept[Gc::place(Keeper::in_use)].objects >= 301);
    REQUIRE(gc.whole(held));
    REQUIRE_FALSE(gc.objects.has(loose));
    REQUIRE(gc.objects.has(late));
    REQUIRE_FALSE(gc.objects.incomplete());
  }
  gc.collect({});
  REQUIRE_FALSE(gc.objects.has(held));
  REQUIRE_FALSE(gc.objects.has(late));
}

TEST_CASE("a node vouches for what is below it, unless something was found missing") {
  Gc gc;
  const util::Digest tree = gc.publish_tree(0, 50);
  REQUIRE(gc.objects.vouches_for_all_below(tree));
  gc.objects.quarantine(util::digest_of("file 7" + std::string(400, '.')));
  REQUIRE(gc.objects.has(tree));
  REQUIRE_FALSE(gc.objects.vouches_for_all_below(tree));
  // gc cannot say that it is whole again until it is.
  REQUIRE(gc.collect({{tree, true}}).missing_objects == 1);
  REQUIRE_FALSE(gc.objects.vouches_for_all_below(tree));
  gc.publish_tree(0, 50);
  REQUIRE(gc.collect({{tree, true}}).missing_objects == 0);
  REQUIRE(gc.objects.vouches_for_all_below(tree));
  REQUIRE(gc.whole(tree));
}

TEST_CASE("a young tree keeps what is below it, however old that is") {
  Gc gc;
  const util::Digest tree = gc.publish_tree(0, 300);
  const util::Digest other = gc.publish_tree(1'000, 300);
  // As a pack looks that was written long ago.
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  for (const auto& entry : fs::recursive_directory_iterator(gc / "store")) {
    if (entry.is_regular_file() && entry.path().extension() != ".db")
      REQUIRE(::utimensat(AT_FDCWD, entry.path().c_str(), old, 0) == 0);
  }
  Publisher publisher(gc.objects);
  TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
  walk_tree(gc.objects, tree, [&](TreeEntry&& entry) {
    builder.add(entry);
    return true;
  });
  builder.add({FileMode::file, 3, publisher.add("new"), "g"});
  const util::Digest young = builder.finish().digest;
  publisher.commit();
  REQUIRE(gc.collect({}, std::chrono::hours(1)).kept[Gc::place(Keeper::young)].objects >= 301);
  REQUIRE(gc.whole(young));
  REQUIRE_FALSE(gc.objects.has(other));
}
