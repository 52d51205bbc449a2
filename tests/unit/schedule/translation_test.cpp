#include "schedule/translation.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "schedule/times.hpp"
#include "schedule/units.hpp"
#include "util/strings.hpp"

using namespace mlops;
using namespace mlops::schedule;
using calendar::TimeZone;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const sys_seconds now = at("2026-03-01 12:00");

Timetable table(Schedule entry) {
  if (entry.timezone.empty()) entry.timezone = "UTC";
  pipeline::Zones zones;
  return {entry, pipeline::rule_of(entry, "p", "/", zones), pipeline::delay_of(entry, "p")};
}

Schedule cron(const std::string& text, const std::string& zone = "UTC") {
  Schedule entry;
  entry.cron = text;
  entry.timezone = zone;
  return entry;
}

Schedule every(seconds period) {
  Schedule entry;
  entry.every = period;
  return entry;
}

// The line, or "!" and why there is none.
std::string line(const Schedule& entry, const std::string& clock = "UTC") {
  const Translation result = to_crontab(table(entry), TimeZone::load(clock), now);
  return result.times.empty() ? "! " + util::join(result.lost, ", ") : util::join(result.times, "|");
}

std::string calendar_of(const Schedule& entry) {
  const Translation result = to_on_calendar(table(entry), now);
  return result.times.empty() ? "! " + util::join(result.lost, ", ") : util::join(result.times, "|");
}

}  // namespace

TEST_CASE("what a crontab can say stays as it is written") {
  REQUIRE(line(cron("*/15 9-17 1,15 jan-mar MON")) == "*/15 9-17 1,15 jan-mar MON");
  REQUIRE(line(cron("@daily")) == "@daily");
  REQUIRE(line(cron("0 3 ? * mon-fri")) == "0 3 * * mon-fri");
  REQUIRE(line(cron("30 2 * * *", "Europe/Berlin"), "Europe/Berlin") == "30 2 * * *");
  REQUIRE(line(cron("30 2 * * *", "Europe/Berlin"), "Europe/Paris") == "30 2 * * *");
}

TEST_CASE("what is no one's but ours becomes numbers, or cannot be said") {
  const std::string hashed = line(cron("H H * * *"));
  REQUIRE(hashed.find('H') == hashed.npos);
  REQUIRE(hashed.ends_with(" * * *"));
  for (const char* text :
       {"0 0 L * *", "0 0 LW * *", "0 0 15W * *", "0 0 * * FRI#2", "0 0 * * 5L", "0 0 13 * +5"})
    REQUIRE(line(cron(text)) == "! a crontab has no words for its days");
  Schedule both = cron("0 0 1 * 1");
  both.days = "and";
  REQUIRE(line(both)[0] == '!');
  both = cron("0 0 */2 * 1");  // its star means `and` for cron
  both.days = "or";
  REQUIRE(line(both)[0] == '!');
  Schedule once;
  once.at = "2026-12-24 18:00";
  REQUIRE(line(once)[0] == '!');
}

TEST_CASE("zones at a steady distance are moved by it") {
  REQUIRE(steady_distance(TimeZone::load("UTC"), TimeZone::load("Asia/Seoul"), now) == hours(-9));
  REQUIRE(steady_distance(TimeZone::load("Europe/London"), TimeZone::load("Europe/Berlin"), now) ==
          hours(-1));
  REQUIRE(!steady_distance(TimeZone::load("UTC"), TimeZone::load("Europe/Berlin"), now));
  REQUIRE(line(cron("0 12 * * *", "Asia/Seoul")) == "0 3 * * *");
  REQUIRE(line(cron("0 3 * * *", "Asia/Seoul")) == "0 18 * * *");
  REQUIRE(line(cron("0 3 * * 1-5", "Asia/Seoul")) == "0 18 * * 0-4");
  REQUIRE(line(cron("0 12 1 * *", "Asia/Seoul")) == "0 3 1 * *");
  REQUIRE(line(cron("0 3 1 * *", "Asia/Seoul"))[0] == '!');  // the last day of the month before
  REQUIRE(line(cron("30 9-11 * * *", "Asia/Kolkata")) == "0 4-6 * * *");
  REQUIRE(line(cron("15,45 9 * * *", "Asia/Kolkata"))[0] == '!');  // 3:45 and 4:15
  REQUIRE(line(cron("0 3 * * *", "Europe/Berlin"))[0] == '!');
}

TEST_CASE("distances become a line where each day has the same") {
  REQUIRE(line(every(minutes(1))) == "* * * * *");
  REQUIRE(line(every(minutes(15))) == "*/15 * * * *");
  REQUIRE(line(every(minutes(15)), "Europe/Berlin") == "*/15 * * * *");
  REQUIRE(line(every(hours(6))) == "0 0,6,12,18 * * *");
  REQUIRE(line(every(hours(6)), "Asia/Seoul") == "0 3,9,15,21 * * *");
  REQUIRE(line(every(hours(6)), "Europe/Berlin")[0] == '!');
  REQUIRE(line(every(hours(1)), "Asia/Kolkata") == "30 * * * *");
  for (const seconds period :
       {seconds(15), seconds(90), seconds(minutes(90)), seconds(hours(25)), seconds(minutes(7))})
    REQUIRE(line(every(period))[0] == '!');
}

TEST_CASE("what else an entry asks for is told as lost") {
  Schedule entry = cron("0 3 * * *", "Europe/Berlin");
  entry.except = {"2026-12-24"};
  entry.jitter = minutes(5);
  entry.end = "2027-01-01";
  entry.run_in_gap = false;
  const Translation result = to_crontab(table(entry), TimeZone::load("Europe/Berlin"), now);
  REQUIRE(util::join(result.lost, ", ") == "`dst`: cron has a rule of its own, `end`, `except`, `jitter`");
}

TEST_CASE("systemd has its own words") {
  REQUIRE(calendar_of(cron("0 3 * * 1-5")) == "Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00 UTC");
  REQUIRE(calendar_of(cron("*/20 9-17 * jan *", "Asia/Seoul")) == "*-01-* 09..17:00,20,40:00 Asia/Seoul");
  REQUIRE(calendar_of(cron("0 0 13 * 5")) == "*-*-13 00:00:00 UTC|Fri *-*-* 00:00:00 UTC");
  REQUIRE(calendar_of(cron("0 0 13 * +5")) == "Fri *-*-13 00:00:00 UTC");
  REQUIRE(calendar_of(cron("0 0 1,L * *")) == "*-*-01 00:00:00 UTC|*-*~01 00:00:00 UTC");
  REQUIRE(calendar_of(cron("0 0 * * FRI#2")) == "Fri *-*-08..14 00:00:00 UTC");
  REQUIRE(calendar_of(cron("0 0 * * FRI#L")) == "Fri *-*~07/1 00:00:00 UTC");
  REQUIRE(calendar_of(cron("0 0 15W * *"))[0] == '!');
  REQUIRE(calendar_of(every(seconds(15))) == "*-*-* *:*:00/15 UTC");
  REQUIRE(calendar_of(every(hours(6))) == "*-*-* 00,06,12,18:00:00 UTC");
  REQUIRE(calendar_of(every(minutes(90))) ==
          "*-*-* 00,03,06,09,12,15,18,21:00:00 UTC|*-*-* 01,04,07,10,13,16,19,22:30:00 UTC");
  REQUIRE(calendar_of(every(minutes(10))) == "*-*-* *:00,10,20,30,40,50:00 UTC");
  REQUIRE(calendar_of(every(hours(25))) == "every 90000s");
  Schedule once;
  once.at = "2026-12-24 18:00";
  once.timezone = "Asia/Seoul";
  REQUIRE(calendar_of(once) == "2026-12-24 09:00:00 UTC");
}

TEST_CASE("words of a unit are neither variables nor specifiers") {
  REQUIRE(unit_command({"/usr/bin/mlops", "-w", "/srv/x"}) == "/usr/bin/mlops -w /srv/x");
  REQUIRE(unit_command({"/opt/a b/$m%", "50%", "$HOME", "say \"x\" \\"}) ==
          "\"/opt/a b/$m%%\" 50%% $$HOME \"say \\\"x\\\" \\\\\"");
  REQUIRE(unit_name("my project/100%") == "my-project-100");
}
