#include "process/step_log.hpp"

#include "catch.hpp"
#include "file_size_limit.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

using namespace mlops;
using namespace mlops::process;

namespace {
std::string numbered(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) text += std::to_string(i) + ",";
  return text;
}
}  // namespace

TEST_CASE("a log keeps every byte up to its cap, and makes no file before the first") {
  TempDir dir;
  const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
  StepLog log(dir / "a.log", {3, 1}, index.get(), 1000, 100);
  REQUIRE_FALSE(util::exists(dir / "a.log"));
  const std::string bytes("\xff\x00binary\n", 9);
  log.append(Stream::out, bytes, 1000);
  log.append(Stream::err, "oops", 1001);
  REQUIRE(util::read_file(dir / "a.log") == bytes + "oops");
  REQUIRE(util::read_file(dir / "idx") == "3.1 0 o 1000\n3.1 9 e 1001\n");
  REQUIRE(log.written() == 13);
  REQUIRE(log.dropped() == 0);
}

TEST_CASE("of a flood the head and the tail are kept exactly, and what lies between is counted") {
  const std::string all = numbered(0, 2000);
  for (const std::size_t piece : {1u, 7u, 64u, 333u, 5000u}) {
    INFO(piece);
    TempDir dir;
    const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
    StepLog log(dir / "a.log", {0, 1}, index.get(), 500, 200);
    for (std::size_t at = 0; at < all.size(); at += piece)
      log.append(Stream::out, std::string_view(all).substr(at, piece), 0);
    REQUIRE(log.written() == all.size());
    REQUIRE(log.dropped() == all.size() - 700);
    REQUIRE(util::read_file(dir / "a.log") == all.substr(0, 500));
    std::string tail;
    REQUIRE(read_log_tail(dir / "a.log", all.size(), 500, 200, tail) == 200);
    REQUIRE(tail == all.substr(all.size() - 200));
  }
}

TEST_CASE("a short overflow lies in the tail from its beginning") {
  TempDir dir;
  const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
  StepLog log(dir / "a.log", {0, 1}, index.get(), 4, 10);
  log.append(Stream::out, "abcdefg", 0);
  std::string tail;
  REQUIRE(read_log_tail(dir / "a.log", 7, 4, 10, tail) == 3);
  REQUIRE(tail == "efg");
  REQUIRE(log.dropped() == 0);
}

TEST_CASE("a log that cannot be written never blocks, and says what is missing") {
  TempDir dir;
  const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
  StepLog log(dir / "no/such/directory.log", {0, 1}, index.get(), 100, 100);
  log.append(Stream::out, "hello", 0);
  REQUIRE(log.error() == ENOENT);
  REQUIRE(log.written() == 5);
  REQUIRE(log.dropped() == 5);
}

TEST_CASE("what reached the disk before it was full is not counted as lost") {
  TempDir dir;
  const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
  StepLog log(dir / "a.log", {0, 1}, index.get(), 1000, 100);
  log.append(Stream::out, "0123", 0);
  {
    const FileSizeLimit limit(10);
    log.append(Stream::out, "456789abcdef", 0);
  }
  log.append(Stream::out, "ghi", 0);
  REQUIRE(log.error() == EFBIG);
  REQUIRE(log.written() == 19);
  REQUIRE(log.dropped() == 9);
  REQUIRE(util::read_file(dir / "a.log") == "0123456789");
}

TEST_CASE("a log whose files are closed in between is the same log") {
  TempDir dir;
  const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
  util::write_file(dir / "a.log", "from an earlier attempt that is of no interest");
  StepLog log(dir / "a.log", {0, 1}, index.get(), 500, 200);
  const std::string all = numbered(0, 2000);
  for (std::size_t at = 0; at < all.size(); at += 33) {
    log.append(Stream::out, std::string_view(all).substr(at, 33), 0);
    log.close_files();
  }
  REQUIRE(log.error() == 0);
  REQUIRE(util::read_file(dir / "a.log") == all.substr(0, 500));
  std::string tail;
  REQUIRE(read_log_tail(dir / "a.log", all.size(), 500, 200, tail) == 200);
  REQUIRE(tail == all.substr(all.size() - 200));
}

TEST_CASE("the index of an attempt has a limit") {
  TempDir dir;
  const util::Fd index = util::open_file(dir / "idx", O_RDWR | O_CREAT | O_APPEND);
  StepLog log(dir / "a.log", {0, 1}, index.get(), 100, 0);
  for (int i = 0; i < 50'000; ++i) log.append(i % 2 == 0 ? Stream::out : Stream::err, "x", 1);
  const auto marks = [&] {
    const std::string text = util::read_file(dir / "idx");
    return std::count(text.begin(), text.end(), '\n');
  };
  REQUIRE(marks() == 20'000);
  const std::string piece(1 << 16, 'x');
  for (int i = 0; i < 10 * 16; ++i) log.append(Stream::out, piece, 1'000 * i);
  REQUIRE(marks() >= 20'009);
  REQUIRE(marks() <= 20'011);
}
