#include "pipeline/doubts.hpp"

#include "calendar/instants.hpp"
#include "catch.hpp"

using namespace mlops;

namespace {

// Line, column and the beginning of each.
std::string doubts(const std::string& schedule) {
  const Pipeline pipeline = parse_pipeline("name: p\nschedule: " + schedule + "\nsteps: {a: {run: 'true'}}\n",
                                           "p.yaml", {.overrides = {}, .check_files = false});
  const auto from = calendar::read_time("2026-01-01T00:00:00Z", calendar::TimeZone::load("UTC"));
  std::string text;
  for (const Diagnostic& d : pipeline::doubts_about(pipeline, from))
    text +=
        std::to_string(d.at.line) + ":" + std::to_string(d.at.column) + " " + d.message.substr(10, 12) + "; ";
  return text;
}

}  // namespace

TEST_CASE("what is valid and seldom meant is told with its place") {
  REQUIRE(doubts("'0 3 * * *'").empty());
  REQUIRE(doubts("'*/7 * * * *'") == "2:12 '*/7' is not; ");
  REQUIRE(doubts("{cron: '0 */5 13 * 5', timezone: UTC}") == "2:21 '*/5' is not; 2:25 both day fie; ");
  REQUIRE(doubts("[{cron: '@daily'}, '0 0 30 2 *']") == "2:35 there is no ; ");
  REQUIRE(doubts("\n  - every: 15\n  - every: 15m\n    name: b\n") ==
          "3:12 '15' is 15 s; 4:5 'b' is due w; ");
  // Where the text stands otherwise in the file, the place is that of the value.
  REQUIRE(doubts("\"\\x2a/7 * * * *\"") == "2:11 '*/7' is not; ");
  REQUIRE(doubts("{cron: '@daily', timezone: UTC, fresh_within: 20h}") == "2:57 'fresh_withi; ");
  REQUIRE(doubts("{cron: '@daily', timezone: UTC, fresh_within: 25h}").empty());
  // What is past does not come again; the clock shows the beginning of 2026.
  REQUIRE(doubts("{at: '2025-12-31 10:00', timezone: UTC}") == "2:16 'at' is past; ");
  REQUIRE(doubts("{at: '2026-12-31 10:00', timezone: UTC}").empty());
  REQUIRE(doubts("{cron: '@daily', timezone: UTC, end: 2025-12-30}") == "2:48 'end' is pas; ");
  REQUIRE(doubts("{cron: '@daily', timezone: UTC, end: 2026-01-02}").empty());
  REQUIRE(doubts("{every: 1d, timezone: UTC, start: 2026-02-01, end: 2026-02-01, except: 2026-02-01}") ==
          "2:19 none of its ; ");
  REQUIRE(doubts("{every: 5m, jitter: 10m}") == "2:31 'jitter' is ; ");
  REQUIRE(doubts("{every: 5m, jitter: 5m}").empty());
  REQUIRE(doubts("{cron: '0,1 3 * * *', timezone: UTC, jitter: 2m}") == "2:56 'jitter' is ; ");
  // The entry that comes second is skipped, unless it waits; also where that is seldom.
  REQUIRE(doubts("['0 * * * *', {cron: '@monthly', name: b}]") == "2:25 'b' is due w; ");
  REQUIRE(doubts("[{cron: '@monthly', name: b}, {cron: '@hourly', overlap: skip}]") == "2:68 '@hourly' is; ");
  REQUIRE(doubts("['0 * * * *', {cron: '@monthly', name: b, overlap: queue}]").empty());
  REQUIRE(doubts("['0 * * * *', {cron: '5 0 1 * *', name: b}]").empty());
  // Over a weekend it is longer.
  REQUIRE(doubts("{cron: '0 3 * * 1-5', timezone: UTC, fresh_within: 26h}") == "2:62 'fresh_withi; ");
}
