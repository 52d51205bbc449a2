#include "util/time.hpp"

#include "catch.hpp"

#include <unistd.h>

#include <cstdlib>
#include <ctime>

using namespace mlops::util;
using std::chrono::milliseconds;

namespace {
Instant at(long long ms) { return Instant(milliseconds(ms)); }
}  // namespace

TEST_CASE("instants are written in UTC and read back") {
  REQUIRE(format_utc(at(0)) == "1970-01-01 00:00:00.000");
  REQUIRE(format_utc(at(-1)) == "1969-12-31 23:59:59.999");
  REQUIRE(format_utc(at(1'709'210'096'789)) == "2024-02-29 12:34:56.789");
  for (const long long ms :
       {0ll, -1ll, 1'709'210'096'789ll, 4'102'444'800'000ll, -62'135'596'800'000ll, 253'402'300'799'999ll}) {
    REQUIRE(parse_utc(format_utc(at(ms))) == at(ms));
  }
}

TEST_CASE("the forms of other programs are read too, nonsense is not") {
  const Instant noon = at(1'769'860'800'000);
  REQUIRE(parse_utc("2026-01-31 12:00:00") == noon);
  REQUIRE(parse_utc("2026-01-31T12:00:00Z") == noon);
  REQUIRE(parse_utc("2026-01-31T12:00:00.000Z") == noon);
  REQUIRE(parse_utc("2026-01-31 12:00:00.123") == noon + milliseconds(123));
  for (const char* text :
       {"", "2026-01-31", "2026-02-29 00:00:00", "2026-13-01 00:00:00", "2026-00-01 00:00:00",
        "2026-01-00 00:00:00", "2026-01-31 24:00:00", "2026-01-31 12:60:00", "2026-01-31 12:00:61",
        "2026-01-31 12:00:00.12", "2026-01-31 12:00:00.1234", "2026-01-31 12:00:00+01:00",
        "2026-01-31x12:00:00", "-026-01-31 12:00:00", "2026-1-31 12:00:000", "2026-01-31 12:00:00 ",
        "2026-01-31 12:00:00.-12"}) {
    INFO(text);
    REQUIRE_FALSE(parse_utc(text));
  }
}

TEST_CASE("local times are those of the machine's zone") {
  const char* before = std::getenv("TZ");
  const std::string saved = before ? before : "";
  ::setenv("TZ", "XYZ-9", 1);  // nine hours ahead of UTC
  ::tzset();
  const std::string local = format_local(at(1'769'860'800'000));
  const std::string ago = format_ago(at(1'769'860'800'000), at(1'769'860'800'000 + 86'400'000));
  before ? ::setenv("TZ", saved.c_str(), 1) : ::unsetenv("TZ");
  ::tzset();
  REQUIRE(local == "2026-01-31 21:00:00");
  REQUIRE(ago == local);
}

TEST_CASE("how long ago is said in the unit that fits") {
  const Instant now = at(1'769'860'800'000);
  REQUIRE(format_ago(now, now) == "0s ago");
  REQUIRE(format_ago(now - milliseconds(59'999), now) == "59s ago");
  REQUIRE(format_ago(now - milliseconds(60'000), now) == "1m ago");
  REQUIRE(format_ago(now - milliseconds(3'600'000), now) == "1h ago");
  REQUIRE(format_ago(now - milliseconds(86'399'000), now) == "23h ago");
  REQUIRE(format_ago(now + milliseconds(5'000), now) ==
          format_local(now + milliseconds(5'000)));  // clocks differ
}

TEST_CASE("the monotonic clock moves on") {
  const auto before = monotonic_ms();
  ::usleep(5'000);
  const auto passed = monotonic_ms() - before;
  REQUIRE(passed >= 4);
  REQUIRE(passed < 60'000);
}
