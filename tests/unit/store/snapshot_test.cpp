#include "store/snapshot.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/restore.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

using namespace mlops;
using namespace mlops::store;
namespace fs = std::filesystem;

namespace {

// Past the tick in which files were written, so that they may be remembered.
void let_time_pass() { ::usleep(20'000); }

struct Bench {
  TempDir dir;
  Objects objects{dir / "store"};
  Snapshots snapshots{objects, 2};

  Bench() { util::make_directories(dir / "work/data/sub"); }
  std::string path(const std::string& name) const { return dir / ("work/" + name); }
  void write(const std::string& name, const std::string& text) { util::write_file(path(name), text); }
  Content keep(const std::string& name) {
    Publisher publisher(objects);
    const auto content = snapshots.keep(path(name), publisher);
    publisher.commit();
    REQUIRE(content);
    return *content;
  }
};

}  // namespace

TEST_CASE("a file's digest is that of its bytes; nothing is none") {
  Bench bench;
  bench.write("f", "hello\n");
  const auto content = bench.snapshots.look(bench.path("f"));
  REQUIRE(content->digest.hex() == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  REQUIRE(content->size == 6);
  REQUIRE_FALSE(content->directory);
  REQUIRE_FALSE(bench.snapshots.look(bench.path("missing")));
  REQUIRE_FALSE(bench.snapshots.look(bench.path("f/below")));
  REQUIRE_THROWS_AS(bench.snapshots.look("/dev/null"), Error);
}

TEST_CASE("unchanged files are not read again, in this process or the next; changed ones always are") {
  Bench bench;
  for (int i = 0; i < 50; ++i) bench.write("data/f" + std::to_string(i), std::to_string(i));
  let_time_pass();
  const Content first = bench.keep("data");
  REQUIRE(bench.snapshots.files_read() == 50);
  REQUIRE(bench.keep("data") == first);
  REQUIRE(bench.snapshots.files_read() == 50);
  bench.snapshots.save();

  Snapshots later(bench.objects);
  REQUIRE(later.look(bench.path("data")) == first);
  REQUIRE(later.files_read() == 0);

  // Same size and, put back, same modification time: the change time still tells.
  const std::string path = bench.path("data/f7");
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  bench.write("data/f7", "8");
  const timespec times[2] = {st.st_atim, st.st_mtim};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  const auto changed = later.look(bench.path("data"));
  REQUIRE(later.files_read() == 1);
  REQUIRE(changed->digest != first.digest);
  bench.write("data/f7", "7");
  REQUIRE(later.look(bench.path("data"))->digest == first.digest);
}

TEST_CASE("a file that was changed in the tick in which it was read is not trusted") {
  Bench bench;
  for (int i = 0; i < 200; ++i) {
    bench.write("f", std::to_string(i));
    REQUIRE(bench.snapshots.look(bench.path("f"))->digest == util::digest_of(std::to_string(i)));
  }
}

TEST_CASE("what was kept comes back as it was: bits, links, empty directories, odd names") {
  Bench bench;
  bench.write("data/plain", "text");
  bench.write("data/sub/large", std::string(300'000, 'z'));
  bench.write("data/run.sh", "#!/bin/sh\n");
  ::chmod(bench.path("data/run.sh").c_str(), 0755);
  bench.write("data/new\nline", "a");
  bench.write("data/\xff\xfe", "b");
  fs::create_symlink("/etc", bench.path("data/etc"));
  fs::create_symlink("plain", bench.path("data/alias"));
  util::make_directories(bench.path("data/empty/below"), 0777);
  const Content content = bench.keep("data");
  REQUIRE(content.directory);
  REQUIRE(content.files == 7);

  const std::string copy = bench.path("copy/deep/data");
  REQUIRE(restore(bench.objects, content, copy));
  REQUIRE(bench.snapshots.look(copy) == content);
  REQUIRE(fs::read_symlink(copy + "/etc") == "/etc");
  REQUIRE(fs::is_directory(copy + "/empty/below"));
  REQUIRE(::access((copy + "/run.sh").c_str(), X_OK) == 0);
  REQUIRE(util::read_file(copy + "/new\nline") == "a");

  // Over something else of that name, and the other way round.
  bench.write("file", "in the way");
  REQUIRE(restore(bench.objects, content, bench.path("file")));
  const Content one = bench.keep("data/plain");
  REQUIRE(restore(bench.objects, one, copy));
  REQUIRE(util::read_file(copy) == "text");
}

TEST_CASE("what is not whole in the store is not restored, and nothing changes") {
  Bench bench;
  bench.write("data/a", std::string(30'000, 'a'));
  bench.write("data/b", std::string(30'000, 'b'));
  const Content content = bench.keep("data");
  fs::remove(bench.objects.object_path(util::digest_of(std::string(30'000, 'b'))));
  bench.write("target", "mine");
  REQUIRE_FALSE(restore(bench.objects, content, bench.path("target")));
  REQUIRE(util::read_file(bench.path("target")) == "mine");
  REQUIRE(std::distance(fs::directory_iterator(bench.dir / "work"), fs::directory_iterator()) == 2);
}

TEST_CASE("a hardlink is the object until somebody may write to it") {
  Bench bench;
  bench.write("data/a", std::string(30'000, 'a'));
  bench.write("data/small", "small");
  const Content content = bench.keep("data");
  ::setenv("MLOPS_LINK", "hardlink", 1);
  REQUIRE(restore(bench.objects, content, bench.path("copy")));
  ::unsetenv("MLOPS_LINK");
  struct stat st {};
  REQUIRE(::stat(bench.path("copy/a").c_str(), &st) == 0);
  REQUIRE(st.st_nlink == 2);
  REQUIRE((st.st_mode & 0222) == 0);
  REQUIRE(bench.snapshots.look(bench.path("copy")) == content);
  make_writable(bench.dir / "store", bench.path("copy"));
  REQUIRE(::stat(bench.path("copy/a").c_str(), &st) == 0);
  REQUIRE(st.st_nlink == 1);
  REQUIRE((st.st_mode & 0200) != 0);
  REQUIRE(bench.snapshots.look(bench.path("copy")) == content);
  ::setenv("MLOPS_LINK", "hardlink,softlink", 1);
  REQUIRE_THROWS_AS(restore(bench.objects, content, bench.path("copy")), Error);
  ::unsetenv("MLOPS_LINK");
}

TEST_CASE("many directories are walked in portions, in the order of their paths") {
  Bench bench;
  std::vector<std::string> paths;
  for (int i = 0; i < 60; ++i) {
    const std::string directory = "data/d" + std::to_string(i) + (i % 3 == 0 ? "/x/y" : "");
    util::make_directories(bench.path(directory), 0777);
    for (int k = 0; k < 20; ++k) {
      bench.write(directory + "/f" + std::to_string(k), std::to_string(i * k));
      paths.push_back((directory + "/f" + std::to_string(k)).substr(5));
    }
  }
  bench.write("data/d1.txt", "between d1 and d1/");
  paths.push_back("d1.txt");
  std::ranges::sort(paths);
  std::vector<std::string> seen;
  const auto content = bench.snapshots.look_into(bench.path("data"), [&](const TreeEntry& entry) {
    if (entry.mode == FileMode::file) seen.push_back(entry.path);
  });
  REQUIRE(seen == paths);
  REQUIRE(content->files == paths.size());
  // What was looked at before it is kept is read for the store after all.
  let_time_pass();
  Snapshots later(bench.objects);
  later.look(bench.path("data"));
  Publisher publisher(bench.objects);
  REQUIRE(later.keep(bench.path("data"), publisher) == content);
  publisher.commit();
  REQUIRE(restore(bench.objects, *content, bench.path("copy")));
  REQUIRE(bench.snapshots.look(bench.path("copy")) == content);
}

TEST_CASE("a tree from elsewhere cannot lead out of its directory") {
  Bench bench;
  for (const char* path : {"../x", "/abs", "a/../../x", "a//b", "./a", "a/.", "link/x"}) {
    Publisher publisher(bench.objects);
    TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); });
    const util::Digest bytes = publisher.add("evil");
    if (std::string(path) == "link/x") builder.add({FileMode::link, 4, publisher.add("/tmp"), "link"});
    builder.add({FileMode::file, 4, bytes, path});
    const Content content{builder.finish().digest, 4, 1, true, false};
    publisher.commit();
    REQUIRE_FALSE(restore(bench.objects, content, bench.path("out")));
    REQUIRE_FALSE(fs::exists(bench.path("out")));
    REQUIRE_FALSE(fs::exists(bench.path("x")));
  }
}

TEST_CASE("a file that changes all the time is refused instead of being taken half old, half new") {
  Bench bench;
  // So large that the writer has its turn while it is read, however many processes there are.
  constexpr int size = 64 << 20;
  bench.write("f", std::string(size, '0'));
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    std::fstream file(bench.path("f"), std::ios::in | std::ios::out | std::ios::binary);
    for (int i = 0; !stop; ++i) {
      file.seekp(i % size);
      file.put('x').flush();
    }
  });
  // The writer may be slow to start, or wait for a processor: then a whole file may be read after all.
  bool refused = false;
  for (const std::int64_t end = util::monotonic_ms() + 20'000; !refused && util::monotonic_ms() < end;) {
    try {
      bench.snapshots.look(bench.path("f"));
    } catch (const Error& error) {
      refused = std::string(error.what()).find("changes while it is read") != std::string::npos;
    }
  }
  stop = true;
  writer.join();
  REQUIRE(refused);
}
