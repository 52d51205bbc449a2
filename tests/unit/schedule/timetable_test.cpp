#include "schedule/timetable.hpp"

#include "catch.hpp"
#include "schedule/times.hpp"

using namespace mlops;
using namespace mlops::schedule;

namespace {

std::string values(Schedule entry, const char* slot) {
  if (entry.timezone.empty()) entry.timezone = "UTC";
  pipeline::Zones zones;
  const SlotValues v =
      slot_values({entry, pipeline::rule_of(entry, "p", "/", zones), std::chrono::seconds(0)}, at(slot));
  return v.id + " " + v.start + " " + v.end;
}

Schedule cron(const std::string& text) {
  Schedule s;
  s.cron = text;
  return s;
}

}  // namespace

TEST_CASE("a day counts whole whose midnight clocks skip, or that comes before such a one") {
  Schedule entry = cron("0 12 * * *");
  entry.timezone = "America/Havana";
  pipeline::Zones zones;
  const auto limits = [&](const char* start, const char* end) {
    entry.start = start;
    entry.end = end;
    const calendar::Rule rule = pipeline::rule_of(entry, "p", "/", zones);
    return calendar::to_text(*rule.start, *rule.zone) + " " + calendar::to_text(*rule.end, *rule.zone);
  };
  REQUIRE(limits("2026-03-06", "2026-03-07") == "2026-03-06T00:00:00-05:00 2026-03-08T01:00:00-04:00");
  REQUIRE(limits("2026-03-08", "2026-03-08") == "2026-03-08T01:00:00-04:00 2026-03-09T00:00:00-04:00");
}

TEST_CASE("a slot reaches from the slot before it to its own time") {
  REQUIRE(values(cron("0 3 * * *"), "2026-01-05 03:00") ==
          "20260105T030000Z 2026-01-04T03:00:00+00:00 2026-01-05T03:00:00+00:00");
  REQUIRE(values(cron("0 3 * * mon"), "2026-01-05 03:00") ==
          "20260105T030000Z 2025-12-29T03:00:00+00:00 2026-01-05T03:00:00+00:00");
  // Clocks of the zone, and the id in UTC: the day on which Berlin jumps is an hour shorter.
  Schedule berlin = cron("0 3 * * *");
  berlin.timezone = "Europe/Berlin";
  REQUIRE(values(berlin, "2026-03-29 01:00") ==
          "20260329T010000Z 2026-03-28T03:00:00+01:00 2026-03-29T03:00:00+02:00");
  // Days without slots belong to the slot after them.
  Schedule except = cron("0 3 * * *");
  except.except = {"2026-01-03", "2026-01-04"};
  REQUIRE(values(except, "2026-01-05 03:00") ==
          "20260105T030000Z 2026-01-02T03:00:00+00:00 2026-01-05T03:00:00+00:00");
}

TEST_CASE("a first slot begins where the one before it would have been") {
  Schedule first = cron("0 3 * * *");
  first.start = "2026-01-05";
  REQUIRE(values(first, "2026-01-05 03:00") ==
          "20260105T030000Z 2026-01-04T03:00:00+00:00 2026-01-05T03:00:00+00:00");
  Schedule every;
  every.every = std::chrono::hours(6);
  every.start = "2026-01-05 01:30";
  REQUIRE(values(every, "2026-01-05 01:30") ==
          "20260105T013000Z 2026-01-04T19:30:00+00:00 2026-01-05T01:30:00+00:00");
  Schedule once;
  once.at = "2026-01-05 03:00";
  REQUIRE(values(once, "2026-01-05 03:00") ==
          "20260105T030000Z 2026-01-05T03:00:00+00:00 2026-01-05T03:00:00+00:00");
}
