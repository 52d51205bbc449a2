#include "process/journal_file.hpp"

#include "catch.hpp"
#include "file_size_limit.hpp"
#include "process/attempt.hpp"
#include "temp_dir.hpp"
#include "util/files.hpp"

#include <cerrno>

using namespace mlops;
using namespace mlops::process;

TEST_CASE("a line that does not fit leaves nothing behind") {
  TempDir dir;
  JournalFile journal(dir / "attempts");
  REQUIRE(journal.append("first") == 0);
  {
    const FileSizeLimit limit(10);
    REQUIRE(journal.append("second, which is too long") == EFBIG);
    REQUIRE(journal.append("third, too") == EFBIG);
  }
  REQUIRE(journal.append("fourth") == 0);
  REQUIRE(util::read_file(dir / "attempts") == "first\nfourth\n");
}

TEST_CASE("a torn line swallows no other") {
  TempDir dir;
  ExitRecord r;
  r.key = {0, 1};
  r.cause = Cause::exited;
  r.code = 0;
  util::write_file(dir / "attempts", "end 0 1 exited 0");
  REQUIRE(JournalFile(dir / "attempts").append(format_end(r)) == 0);
  const auto entries = parse_journal(util::read_file(dir / "attempts"));
  REQUIRE(entries.size() == 1);
  REQUIRE(entries[0].end->succeeded());
  REQUIRE(JournalFile(dir / "attempts").append("x") == 0);
  REQUIRE(util::read_file(dir / "attempts") == "end 0 1 exited 0\n" + format_end(r) + "\nx\n");
}
