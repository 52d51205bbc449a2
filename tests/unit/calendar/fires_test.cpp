#include "calendar/fires.hpp"

#include "catch.hpp"

using namespace mlops::calendar;
using namespace std::chrono;

namespace {

Rule rule(const char* expression, const char* zone) {
  CronProblem problem;
  const auto cron = parse_cron(expression, "seed", problem);
  INFO(problem.message);
  REQUIRE(cron);
  Rule made;
  made.what = *cron;
  made.zone = std::make_shared<const TimeZone>(TimeZone::load(zone));
  return made;
}

// "2026-03-08 06:59" UTC
sys_seconds utc(int y, int mo, int d, int h = 0, int mi = 0, int s = 0) {
  return sys_days(year(y) / mo / d) + hours(h) + minutes(mi) + seconds(s);
}

std::vector<std::string> first(const Rule& r, sys_seconds after, std::size_t count) {
  std::vector<std::string> texts;
  for (const sys_seconds at : fires_between(r, after, utc(2190, 1, 1), count))
    texts.push_back(to_text(at, *r.zone));
  return texts;
}

}  // namespace

TEST_CASE("fixed times in a gap run at its end, wildcards do not exist in it", "[calendar]") {
  const sys_seconds before = utc(2026, 3, 8, 0);  // New York leaps from 02:00 to 03:00 at 07:00 UTC
  CHECK(first(rule("30 2 * * *", "America/New_York"), before, 2) ==
        std::vector<std::string>{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"});
  CHECK(first(rule("0,30 2 * * *", "America/New_York"), before, 2) ==
        std::vector<std::string>{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"});
  CHECK(first(rule("*/30 2 * * *", "America/New_York"), before, 1)[0] == "2026-03-09T02:00:00-04:00");
  // Havana has no midnight on that day.
  CHECK(first(rule("0 0 * * *", "America/Havana"), utc(2026, 3, 7, 12), 1)[0] == "2026-03-08T01:00:00-04:00");
  Rule skipping = rule("30 2 * * *", "America/New_York");
  skipping.run_in_gap = false;
  CHECK(first(skipping, before, 1)[0] == "2026-03-09T02:30:00-04:00");
  const auto gaps = gaps_between(skipping, before, before + days(1));
  REQUIRE(gaps.size() == 1);
  CHECK(to_text(gaps[0].local) == "2026-03-08 02:30");
  CHECK(gaps[0].instant == utc(2026, 3, 8, 7));
}

TEST_CASE("only what is made up for stands in place of a time that clocks skip", "[calendar]") {
  const sys_seconds jump = utc(2026, 3, 8, 7);  // New York, to 03:00
  CHECK(note_on(rule("30 2 * * *", "America/New_York"), jump) == "in place of 02:30, which clocks skip");
  CHECK(note_on(rule("*/30 * * * *", "America/New_York"), jump).empty());
  Rule skipping = rule("0 2,3 * * *", "America/New_York");
  skipping.run_in_gap = false;
  CHECK(note_on(skipping, jump).empty());
  CHECK(note_on(rule("0 0 * * *", "Pacific/Apia"), utc(2011, 12, 30, 10)).empty());  // a day is left out
}

TEST_CASE("fixed times that come twice run once, wildcards twice", "[calendar]") {
  const sys_seconds before = utc(2026, 11, 1, 4, 59);  // New York goes back from 02:00 to 01:00 at 06:00 UTC
  CHECK(first(rule("30 1 * * *", "America/New_York"), before, 2) ==
        std::vector<std::string>{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"});
  CHECK(first(rule("0 * * * *", "America/New_York"), before, 3) ==
        std::vector<std::string>{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00",
                                 "2026-11-01T02:00:00-05:00"});
  CHECK(first(rule("*/30 1 * * *", "America/New_York"), before, 4).back() == "2026-11-01T01:30:00-05:00");
  Rule both = rule("30 1 * * *", "America/New_York");
  both.run_in_both = true;
  CHECK(first(both, before, 2)[1] == "2026-11-01T01:30:00-05:00");
}

TEST_CASE("a jump by three hours is a new calendar when it is forward only, as for cronie", "[calendar]") {
  // Casey went from +8 to +11 on 2019-10-03 at 19:00 UTC, and back on 2020-03-07 at 16:00 UTC.
  CHECK(first(rule("30 4 * * *", "Antarctica/Casey"), utc(2019, 10, 3, 10), 1)[0] ==
        "2019-10-05T04:30:00+11:00");
  CHECK(first(rule("30 1 * * *", "Antarctica/Casey"), utc(2020, 3, 7, 14), 2) ==
        std::vector<std::string>{"2020-03-08T01:30:00+11:00", "2020-03-09T01:30:00+08:00"});
}

TEST_CASE("the last time is found, however long ago it was", "[calendar]") {
  const Rule rare = rule("0 0 29 2 +1", "UTC");
  CHECK(last_fire(rare, utc(2030, 1, 1)) == utc(2016, 2, 29));
  CHECK(last_fire(rare, utc(2110, 1, 1)) == utc(2072, 2, 29));
  CHECK_FALSE(last_fire(rule("0 0 30 2 *", "UTC"), utc(2030, 1, 1)));
  Rule once = rule("0 0 1 1 *", "UTC");
  once.what = utc(1990, 1, 1);
  CHECK(last_fire(once, utc(2026, 1, 1)) == utc(1990, 1, 1));
}

TEST_CASE("periods count from their anchor, single times come once", "[calendar]") {
  Rule r;
  r.zone = std::make_shared<const TimeZone>(TimeZone::load("UTC"));
  r.what = Every{seconds(15), utc(2026, 1, 1)};
  CHECK(next_fire(r, utc(2026, 1, 1)) == utc(2026, 1, 1, 0, 0, 15));
  CHECK(next_fire(r, utc(2025, 12, 31, 23)) == utc(2026, 1, 1));
  CHECK(last_fire(r, utc(2026, 1, 1, 0, 0, 44)) == utc(2026, 1, 1, 0, 0, 30));
  r.end = utc(2026, 1, 1, 0, 0, 30);
  CHECK_FALSE(next_fire(r, utc(2026, 1, 1, 0, 0, 15)));
  r.what = utc(2026, 5, 1);
  r.end.reset();
  CHECK(next_fire(r, utc(2026, 4, 1)) == utc(2026, 5, 1));
  CHECK_FALSE(next_fire(r, utc(2026, 5, 1)));
  CHECK(last_fire(r, utc(2030, 5, 1)) == utc(2026, 5, 1));
}

TEST_CASE("days of a calendar are left out whole, in the zone of the schedule", "[calendar]") {
  Rule r = rule("0 */6 * * *", "Asia/Seoul");
  r.except = {local_days(year(2026) / 5 / 5)};
  CHECK(first(r, utc(2026, 5, 4, 9), 2) ==
        std::vector<std::string>{"2026-05-06T00:00:00+09:00", "2026-05-06T06:00:00+09:00"});
  r.start = utc(2026, 6, 1);
  CHECK(first(r, utc(2026, 5, 4, 9), 1)[0] == "2026-06-01T12:00:00+09:00");
}

TEST_CASE("what never comes is found out at once", "[calendar]") {
  CHECK_FALSE(next_fire(rule("0 0 31 2 *", "America/New_York"), utc(2026, 1, 1)));
  CHECK(first(rule("0 0 29 2 *", "Europe/Berlin"), utc(2026, 1, 1), 2) ==
        std::vector<std::string>{"2028-02-29T00:00:00+01:00", "2032-02-29T00:00:00+01:00"});
  // Years for which the zone's file has only a rule.
  CHECK(first(rule("30 2 * * *", "America/New_York"), utc(2150, 3, 8, 0), 1)[0] ==
        "2150-03-08T03:00:00-04:00");
}
