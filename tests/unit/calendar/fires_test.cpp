#include "calendar/fires.hpp"

#include "catch.hpp"
#include "cronie_oracle.hpp"

#include <algorithm>
#include <random>

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

std::string random_field(std::mt19937& random, int least, int most) {
  const auto pick = [&](int a, int b) {
    return a + static_cast<int>(random() % static_cast<unsigned>(b - a + 1));
  };
  switch (pick(0, 6)) {
    case 0:
    case 1: return "*";
    case 2: return "*/" + std::to_string(pick(1, (most - least) / 2 + 1));
    case 3: {
      const int a = pick(least, most), b = pick(a, most);
      return std::to_string(a) + "-" + std::to_string(b) +
             (pick(0, 1) ? "/" + std::to_string(pick(1, 7)) : "");
    }
    case 4: return std::to_string(pick(least, most)) + "," + std::to_string(pick(least, most));
    default: return std::to_string(pick(least, most));
  }
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

TEST_CASE("fires are those of cronie's own clock loop", "[calendar]") {
  // Half an hour (Lord Howe), two hours (Troll), a calendar of its own (Casablanca), a day that never was
  // (Apia, 2011).
  struct Stretch {
    const char* zone;
    int year, years;
  };
  std::mt19937 random(20260301);
  for (const Stretch& stretch :
       {Stretch{"America/New_York", 2026, 1}, Stretch{"Europe/Berlin", 2027, 1},
        Stretch{"Australia/Lord_Howe", 2026, 1}, Stretch{"Antarctica/Troll", 2028, 1},
        Stretch{"Africa/Casablanca", 2026, 1}, Stretch{"Pacific/Apia", 2011, 1},
        Stretch{"America/Havana", 2026, 1}, Stretch{"Asia/Kathmandu", 2026, 1},
        Stretch{"Europe/Dublin", 2026, 1}, Stretch{"America/St_Johns", 2006, 1}}) {
    const MinuteTable table(stretch.zone, stretch.year, stretch.years);
    const auto zone = std::make_shared<const TimeZone>(TimeZone::load(stretch.zone));
    for (int i = 0; i < 25; ++i) {
      const std::string expression = random_field(random, 0, 59) + " " + random_field(random, 0, 23) + " " +
                                     random_field(random, 1, 31) + " " + random_field(random, 1, 12) + " " +
                                     random_field(random, 0, 6);
      INFO(stretch.zone << ": " << expression);
      CronProblem problem;
      const auto cron = parse_cron(expression, "", problem);
      REQUIRE(cron);
      Rule r;
      r.what = *cron;
      r.zone = zone;
      const auto theirs = cronie_runs(*cron, table);
      std::vector<std::int64_t> ours;
      for (const sys_seconds at : fires_between(r, sys_seconds(seconds(table.begin() * 60)),
                                                sys_seconds(seconds(table.end() * 60 - 1)), 10'000'000))
        ours.push_back(at.time_since_epoch().count() / 60);
      // Said short: there may be hundreds of thousands.
      const auto [a, b] = std::mismatch(ours.begin(), ours.end(), theirs.begin(), theirs.end());
      INFO("differ at " << (a == ours.end() ? -1 : *a) << ", not " << (b == theirs.end() ? -1 : *b));
      REQUIRE((a == ours.end() && b == theirs.end()));
    }
  }
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
