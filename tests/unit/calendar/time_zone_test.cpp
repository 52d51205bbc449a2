#include "calendar/time_zone.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "calendar/posix_rule.hpp"
#include "catch.hpp"

#include <cstdlib>
#include <ctime>

using namespace mlops::calendar;
using namespace std::chrono;

TEST_CASE("offsets of zones are those of the C library", "[calendar]") {
  for (const char* name : {"America/New_York", "Europe/Dublin", "Africa/Casablanca", "Pacific/Apia",
                           "Australia/Lord_Howe", "Antarctica/Troll", "America/Nuuk", "Asia/Tehran",
                           "Asia/Kolkata", "America/Sao_Paulo", "Etc/GMT+5"}) {
    const TimeZone zone = TimeZone::load(name);
    ::setenv("TZ", name, 1);
    ::tzset();
    // Every 11 hours from 1900 on, and far beyond what the files list.
    for (std::time_t at = -2'208'988'800; at < 7'200'000'000;
         at += at < 2'300'000'000 ? 11 * 3600 : 501 * 3600) {
      std::tm tm{};
      ::localtime_r(&at, &tm);
      const Period period = zone.period(zone.index_at(sys_seconds(seconds(at))));
      if (period.offset.count() != tm.tm_gmtoff || period.short_name != tm.tm_zone) {
        INFO(name << " at " << at << ": " << period.offset.count() << " " << period.short_name << ", not "
                  << tm.tm_gmtoff << " " << tm.tm_zone);
        REQUIRE(false);
      }
    }
    ::unsetenv("TZ");
    ::tzset();
  }
}

TEST_CASE("local times in gaps are no instant, repeated ones are two", "[calendar]") {
  const TimeZone zone = TimeZone::load("Europe/Berlin");
  const auto local = [](int mo, int d, int h, int mi) {
    return local_days(year(2026) / mo / d) + hours(h) + minutes(mi);
  };
  CHECK(zone.instants_of(local(3, 29, 2, 30)).empty());
  CHECK(zone.instants_of(local(10, 25, 2, 30)).size() == 2);
  REQUIRE(zone.instants_of(local(7, 1, 12, 0)).size() == 1);
  CHECK(to_text(zone.instants_of(local(7, 1, 12, 0))[0], zone) == "2026-07-01T12:00:00+02:00");
}

TEST_CASE("a day whose midnight clocks skip begins when they have jumped", "[calendar]") {
  const std::pair<const char*, const char*> days[] = {{"America/Havana", "2026-03-08T01:00:00-04:00"},
                                                      {"Africa/Cairo", "2026-04-24T01:00:00+03:00"},
                                                      {"America/Santiago", "2026-09-06T01:00:00-03:00"},
                                                      {"Asia/Beirut", "2026-03-29T01:00:00+03:00"}};
  for (const auto& [name, text] : days) {
    INFO(name);
    const TimeZone zone = TimeZone::load(name);
    const std::string day = std::string(text).substr(0, 10);
    const sys_seconds begin = read_time(day, zone);
    CHECK(to_text(begin, zone) == text);
    CHECK(begin == begin_of(*read_day(day), zone));
    CHECK(floor<std::chrono::days>(zone.to_local(begin - seconds(1))) ==
          *read_day(day) - std::chrono::days(1));
    REQUIRE_THROWS_WITH(read_time(day + " 00:00", zone), ContainsSubstring("it is skipped there"));
  }
  // Of a midnight that comes twice the first; of a day that clocks skip as a whole what comes after it.
  const TimeZone havana = TimeZone::load("America/Havana"), apia = TimeZone::load("Pacific/Apia");
  CHECK(to_text(read_time("2026-11-01", havana), havana) == "2026-11-01T00:00:00-04:00");
  CHECK(to_text(read_time("2011-12-30", apia), apia) == "2011-12-31T00:00:00+14:00");
  CHECK(to_text(read_time("2026-03-09", havana), havana) == "2026-03-09T00:00:00-04:00");
}

TEST_CASE("a file of days may begin with a byte order mark", "[calendar]") {
  CHECK(read_days("\xEF\xBB\xBF"
                  "2026-12-24\r\n2026-12-26\n",
                  "days.txt") == std::set<local_days>{*read_day("2026-12-24"), *read_day("2026-12-26")});
  REQUIRE_THROWS_WITH(read_days("2026-12-24\n\xEF\xBB\xBF"
                                "2026-12-26\n",
                                "days.txt"),
                      ContainsSubstring("days.txt:2"));
  REQUIRE_THROWS_WITH(read_days("2026-12-26..2026-12-24\n", "days.txt"),
                      ContainsSubstring("days.txt:1: '2026-12-26..2026-12-24' ends before it begins"));
}

TEST_CASE("a zone that is not there is an error, with a guess at what was meant", "[calendar]") {
  const auto hint = [](const char* name) {
    try {
      TimeZone::load(name);
    } catch (const mlops::Error& error) {
      return error.hint();
    }
    return std::string("accepted");
  };
  CHECK(hint("Europe/Berlim") == "did you mean 'Europe/Berlin'?");
  CHECK(hint("Berlin") == "did you mean 'Europe/Berlin'?");
  for (const char* name :
       {"", "../../etc/passwd", "/etc/localtime", "Mars/Olympus", "EST5EDT4,x", "Europe", "zone.tab"})
    CHECK(hint(name) != "accepted");
  CHECK_THROWS_AS(TimeZone::parse("X", "TZif2"), mlops::Error);
  CHECK_THROWS_AS(TimeZone::parse("X", std::string(44, '\xff')), mlops::Error);
}

TEST_CASE("rules of years to come are read", "[calendar]") {
  const auto rule = parse_posix_rule("<-02>2<-01>,M3.5.0/-1,M10.5.0/0");
  REQUIRE(rule);
  CHECK(rule->standard.short_name == "-02");
  CHECK(rule->standard.offset == -hours(2));
  CHECK(to_text(rule->begin.at(year(2026))) == "2026-03-28 23:00");
  REQUIRE(parse_posix_rule("IST-2IDT,J60,59/26"));
  CHECK(to_text(parse_posix_rule("IST-2IDT,J60,59/26")->begin.at(year(2028))) == "2028-03-01 02:00");
  CHECK(to_text(parse_posix_rule("IST-2IDT,J60,59/26")->end.at(year(2028))) == "2028-03-01 02:00");
  for (const char* text : {"", "X", "EST", "EST5EDT", "EST5EDT,M3.2", "EST5EDT,M13.1.0,M11.1.0", "EST25",
                           "EST5EDT,M3.2.0,M11.1.0x"})
    CHECK_FALSE(parse_posix_rule(text));
}
