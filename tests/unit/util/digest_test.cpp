#include "util/digest.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <sys/stat.h>

#include <filesystem>

using namespace mlops::util;

namespace {
std::string digest_of(const std::string& path) { return hash_path(path)->sha256; }
}  // namespace

TEST_CASE("SHA-256 gives the published digests") {
  REQUIRE(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  REQUIRE(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  REQUIRE(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 million;
  for (int i = 0; i < 1'000; ++i) million.update(std::string(1'000, 'a'));
  REQUIRE(million.hex() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a file is hashed by its bytes, whatever its length") {
  const TempDir dir;
  for (const std::size_t size : {0, 1, 63, 64, 65, (1 << 18) - 1, 1 << 18, (1 << 18) + 1}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7);
    write_file(dir / "f", bytes);
    const auto content = hash_path(dir / "f");
    REQUIRE(content);
    REQUIRE(content->sha256 == sha256(bytes));
    REQUIRE(content->size == size);
    REQUIRE(content->files == 1);
    REQUIRE_FALSE(content->directory);
  }
  REQUIRE_FALSE(hash_path(dir / "none"));
  REQUIRE_FALSE(hash_path(dir / "f/below"));
  REQUIRE_THROWS_AS(hash_path("/dev/null"), mlops::Error);
  std::filesystem::create_symlink("f", dir / "link");
  REQUIRE(digest_of(dir / "link") == digest_of(dir / "f"));
}

TEST_CASE("a folder's digest is that of its names, modes and contents, in whatever order they were made") {
  const TempDir dir;
  const auto fill = [&](const std::string& name, const std::vector<std::string>& files) {
    make_directories(dir / name + "/sub");
    for (const std::string& file : files) write_file(dir / name + "/" + file, "text of " + file);
  };
  fill("one", {"a", "sub/b", "c"});
  fill("two", {"c", "sub/b", "a"});
  const auto one = hash_path(dir / "one");
  REQUIRE(one->directory);
  REQUIRE(one->files == 3);
  REQUIRE(one->size == 9 + 13 + 9);
  REQUIRE(one->sha256 == digest_of(dir / "two"));

  SECTION("a byte") { write_file(dir / "two/a", "text of A"); }
  SECTION("a name") { ::rename((dir / "two/a").c_str(), (dir / "two/d").c_str()); }
  SECTION("a place") { ::rename((dir / "two/a").c_str(), (dir / "two/sub/a").c_str()); }
  SECTION("one more") { write_file(dir / "two/d", ""); }
  SECTION("the right to execute") { ::chmod((dir / "two/a").c_str(), 0700); }
  SECTION("a link with the same text") {
    std::filesystem::remove((dir / "two/a"));
    std::filesystem::create_symlink("../one/a", dir / "two/a");
  }
  REQUIRE(one->sha256 != digest_of(dir / "two"));
}

TEST_CASE("other rights, times and empty folders do not change a folder's digest") {
  const TempDir dir;
  make_directories(dir / "d");
  write_file(dir / "d/a", "x");
  const std::string before = digest_of(dir / "d");
  ::chmod((dir / "d/a").c_str(), 0644);
  make_directories(dir / "d/empty");
  write_file(dir / "d/a", "x");
  REQUIRE(digest_of(dir / "d") == before);
}

TEST_CASE("links in a folder count by their text and are not followed") {
  const TempDir dir;
  make_directories(dir / "d");
  std::filesystem::create_symlink("..", dir / "d/up");
  std::filesystem::create_symlink("nowhere", dir / "d/broken");
  const auto content = hash_path(dir / "d");
  REQUIRE(content->files == 2);
  REQUIRE(content->size == 0);
  std::filesystem::remove((dir / "d/broken"));
  std::filesystem::create_symlink("elsewhere", dir / "d/broken");
  REQUIRE(digest_of(dir / "d") != content->sha256);
}
