#include "util/files.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "temp_dir.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

using namespace mlops;
using namespace mlops::util;

namespace {

std::string failure(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const Error& e) {
    return std::to_string(static_cast<int>(e.code())) + " " + e.what();
  }
  return "no failure";
}

std::size_t entries_in(const std::string& path) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path), {}));
}

}  // namespace

TEST_CASE("a file is read whole, up to a limit") {
  const TempDir dir;
  std::string bytes;
  for (int i = 0; i < 200'000; ++i) bytes += static_cast<char>(i);
  write_file(dir / "f", bytes);
  REQUIRE(read_file(dir / "f") == bytes);
  REQUIRE(read_file(dir / "f", bytes.size()) == bytes);
  REQUIRE_THAT(failure([&] { read_file(dir / "f", bytes.size() - 1); }),
               ContainsSubstring("2 cannot read '" + (dir / "f") + "': it is larger than"));
  REQUIRE_THAT(failure([&] { read_file("/dev/zero", 1000); }), ContainsSubstring("larger than 1000 bytes"));
  REQUIRE_THAT(failure([&] { read_file(dir / "none"); }),
               ContainsSubstring("74 cannot open '" + (dir / "none")));
  REQUIRE_THAT(failure([&] { read_file(dir.path()); }), ContainsSubstring("74 cannot read '" + dir.path()));
  REQUIRE_FALSE(read_file_if_exists(dir / "none"));
  REQUIRE_FALSE(read_file_if_exists(dir / "f/below"));
  REQUIRE(read_file_if_exists(dir / "f") == bytes);
}

TEST_CASE("a file is replaced at once, or not at all") {
  const TempDir dir;
  write_file_atomically(dir / "f", "one");
  write_file_atomically(dir / "f", "two");
  REQUIRE(read_file(dir / "f") == "two");
  REQUIRE(entries_in(dir.path()) == 1);
  const Fd before = open_file(dir / "f", O_RDONLY);
  write_file_atomically(dir / "f", "three");
  char text[8] = {};
  REQUIRE(::read(before.get(), text, sizeof text) == 3);  // who reads the old file goes on reading it
  REQUIRE(std::string(text) == "two");

  REQUIRE_THAT(failure([&] { write_file_atomically(dir / "none/f", "x"); }),
               ContainsSubstring("74 cannot create '"));
  make_directories(dir / "d/full");
  REQUIRE_THAT(failure([&] { write_file_atomically(dir / "d", "x"); }),
               ContainsSubstring("74 cannot replace '" + (dir / "d")));
  REQUIRE(entries_in(dir.path()) == 2);  // no temporary file is left
}

TEST_CASE("files are private and not handed on to other programs") {
  const TempDir dir;
  const mode_t mask = ::umask(0);
  write_file(dir / "f", "x");
  write_file_atomically(dir / "g", "x");
  make_directories(dir / "d/e");
  ::umask(mask);
  const auto mode = [&](const std::string& name) {
    struct stat st {};
    ::stat((dir / name).c_str(), &st);
    return st.st_mode & 07777;
  };
  REQUIRE(mode("f") == 0600);
  REQUIRE(mode("g") == 0600);
  REQUIRE(mode("d") == 0700);
  REQUIRE(mode("d/e") == 0700);
  const Fd fd = open_file(dir / "f", O_RDONLY);
  REQUIRE((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("write_all writes everything or says why not") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  REQUIRE(write_all(writer.get(), "hello") == 0);
  REQUIRE(write_all(reader.get(), "x") == EBADF);
  const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  if (full) REQUIRE(write_all(full.get(), "x") == ENOSPC);
}

TEST_CASE("directories are made with all that lead to them") {
  const TempDir dir;
  make_directories(dir / "a//b/c/");
  REQUIRE(exists(dir / "a/b/c"));
  make_directories(dir / "a/b/c");
  write_file(dir / "f", "x");
  REQUIRE_THAT(failure([&] { make_directories(dir / "f/g"); }),
               ContainsSubstring("74 cannot create directory"));
  REQUIRE_FALSE(exists(dir / "none"));
}

TEST_CASE("paths are made absolute without looking at the disk") {
  REQUIRE(absolute_path("/a/./b/../c//") == "/a/c");
  REQUIRE(absolute_path("/") == "/");
  REQUIRE(absolute_path("x") == std::filesystem::current_path().string() + "/x");
  REQUIRE(absolute_path(".") == std::filesystem::current_path().string());
}

TEST_CASE("a full disk or a read-only one is explained") {
  for (const int error : {ENOSPC, EROFS, EMFILE}) {
    try {
      throw_errno("cannot write 'x'", error);
    } catch (const Error& e) {
      REQUIRE(e.code() == ExitCode::io);
      REQUIRE_THAT(e.what(), ContainsSubstring("cannot write 'x': "));
      REQUIRE_FALSE(e.hint().empty());
    }
  }
}
