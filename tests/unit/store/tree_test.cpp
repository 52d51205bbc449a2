#include "store/tree.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/objects.hpp"
#include "temp_dir.hpp"

#include <algorithm>
#include <map>
#include <random>

using namespace mlops;
using namespace mlops::store;

namespace {

TreeEntry entry(const std::string& path, const std::string& content = "x") {
  return {FileMode::file, content.size(), util::digest_of(content), path};
}

std::vector<TreeEntry> many(int count) {
  std::vector<TreeEntry> entries;
  for (int i = 0; i < count; ++i) {
    char path[32];
    std::snprintf(path, sizeof path, "d%02d/f%05d", i / 1000, i);
    entries.push_back(entry(path, std::to_string(i)));
  }
  return entries;
}

TreeSummary build(Objects& objects, const std::vector<TreeEntry>& entries, std::uint64_t* nodes = nullptr) {
  Publisher publisher(objects);
  TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
  for (const TreeEntry& one : entries) builder.add(one);
  const TreeSummary summary = builder.finish();
  publisher.commit();
  if (nodes) *nodes = publisher.objects_written();
  return summary;
}

std::vector<TreeEntry> read(Objects& objects, const util::Digest& tree) {
  std::vector<TreeEntry> entries;
  walk_tree(objects, tree, [&](TreeEntry&& one) {
    entries.push_back(std::move(one));
    return true;
  });
  return entries;
}

}  // namespace

TEST_CASE("a tree gives back what was put in, at any size") {
  const TempDir dir;
  Objects objects(dir / "store");
  for (const int count : {0, 1, 2, 255, 300, 5000}) {
    const auto entries = many(count);
    const TreeSummary summary = build(objects, entries);
    REQUIRE(summary.files == static_cast<std::uint64_t>(count));
    REQUIRE(read(objects, summary.digest) == entries);
  }
}

TEST_CASE("paths may hold every byte but NUL, and entries of all kinds") {
  const TempDir dir;
  Objects objects(dir / "store");
  std::vector<TreeEntry> entries = {entry("a\nb"),   entry("a b'\""), entry("\xff\xfe"),
                                    entry("empty/"), entry("link"),   entry("run.sh")};
  std::ranges::sort(entries, {}, &TreeEntry::path);
  for (TreeEntry& one : entries) {
    if (one.path == "empty/") one = {FileMode::directory, 0, {}, "empty/"};
    if (one.path == "link") one.mode = FileMode::link;
    if (one.path == "run.sh") one.mode = FileMode::executable;
  }
  REQUIRE(read(objects, build(objects, entries).digest) == entries);
}

TEST_CASE("one change in many files costs one leaf and the nodes above it") {
  const TempDir dir;
  Objects objects(dir / "store");
  auto entries = many(20'000);
  std::uint64_t nodes = 0;
  const TreeSummary before = build(objects, entries, &nodes);
  REQUIRE(nodes > 50);
  const auto changed = [&](auto change) {
    auto copy = entries;
    change(copy);
    std::uint64_t written = 0;
    const TreeSummary after = build(objects, copy, &written);
    REQUIRE(after.digest != before.digest);
    return written;
  };
  REQUIRE(changed([](auto& list) { list[12'345].digest = util::digest_of("other"); }) <= 3);
  REQUIRE(changed([](auto& list) { list.erase(list.begin() + 777); }) <= 4);
  REQUIRE(changed([](auto& list) { list.insert(list.begin() + 9'000, entry("d09/f08999x")); }) <= 4);
}

TEST_CASE("equal content has equal digests, whatever was there before") {
  const TempDir dir;
  Objects objects(dir / "store");
  auto entries = many(3'000);
  const util::Digest digest = build(objects, entries).digest;
  auto longer = entries;
  longer.push_back(entry("zzz"));
  build(objects, longer);
  longer.pop_back();
  REQUIRE(build(objects, longer).digest == digest);
}

TEST_CASE("a difference tells what was added, removed and changed, and nothing else") {
  const TempDir dir;
  Objects objects(dir / "store");
  std::mt19937 random(7);
  const auto entries = many(4'000);
  const util::Digest before = build(objects, entries).digest;
  for (int round = 0; round < 20; ++round) {
    std::map<std::string, TreeEntry> model;
    for (const TreeEntry& one : entries) model[one.path] = one;
    for (int i = 0; i < 10; ++i) {
      const TreeEntry& some = entries[random() % entries.size()];
      switch (random() % 3) {
        case 0: model.erase(some.path); break;
        case 1: model[some.path] = entry(some.path, "changed" + std::to_string(random())); break;
        default:
          model[some.path + "+" + std::to_string(random() % 10)] =
              entry(some.path + "+" + std::to_string(random() % 10), "new");
      }
    }
    std::vector<TreeEntry> after;
    for (auto& [path, one] : model) {
      one.path = path;
      after.push_back(one);
    }
    std::map<std::string, TreeChange::Kind> expected, told;
    std::map<std::string, TreeEntry> old;
    for (const TreeEntry& one : entries) old[one.path] = one;
    for (const auto& [path, one] : model) {
      if (!old.contains(path)) {
        expected[path] = TreeChange::Kind::added;
      } else if (!(old[path] == one)) {
        expected[path] = TreeChange::Kind::changed;
      }
    }
    for (const auto& [path, one] : old) {
      if (!model.contains(path)) expected[path] = TreeChange::Kind::removed;
    }
    diff_trees(objects, before, build(objects, after).digest, [&](const TreeChange& change) {
      told[change.kind == TreeChange::Kind::removed ? change.before.path : change.after.path] = change.kind;
    });
    REQUIRE(told == expected);
  }
}

TEST_CASE("a tree with a missing or damaged node is refused") {
  const TempDir dir;
  Objects objects(dir / "store");
  REQUIRE_THROWS_AS(read(objects, util::digest_of("nothing")), Error);
  Publisher publisher(objects);
  const util::Digest odd = publisher.add("mlops tree 1 leaf\nf 12 nothex x");
  publisher.commit();
  REQUIRE_THROWS_AS(read(objects, odd), Error);
}
