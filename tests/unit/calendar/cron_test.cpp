#include "calendar/cron.hpp"

#include "calendar/time_zone.hpp"
#include "catch.hpp"

#include <bit>

using namespace mlops::calendar;
using namespace std::chrono;

namespace {

Cron cron(const char* text, const char* seed = "seed") {
  CronProblem problem;
  const auto parsed = parse_cron(text, seed, problem);
  INFO(text << ": " << problem.message);
  REQUIRE(parsed);
  return *parsed;
}

std::string refused(const char* text) {
  CronProblem problem;
  INFO(text);
  REQUIRE_FALSE(parse_cron(text, "", problem));
  return problem.message + " | " + problem.hint;
}

std::string next(const char* text, local_seconds from) {
  const auto at = cron(text).next(from);
  return at ? to_text(*at) : "never";
}

local_seconds local(int y, int mo, int d, int h = 0, int mi = 0) {
  return local_days(year(y) / mo / d) + hours(h) + minutes(mi);
}

std::string doubts(const char* text) {
  std::string all;
  for (const CronProblem& doubt : doubts_about(text, cron(text))) all += doubt.message + "; ";
  return all;
}

}  // namespace

TEST_CASE("fields of cron are read as cronie reads them", "[calendar]") {
  CHECK(cron("*/35 * * * *").minutes == (1ull | 1ull << 35));
  CHECK(cron("0 0 * jan-mar,DEC Mon-fri").months == (2 | 4 | 8 | 1 << 12));
  CHECK(cron("0 0 * * 7").weekdays == 1);
  CHECK(cron("0 0 * * 0-7").weekdays == 0x7f);
  CHECK(cron("0 0 * * fri-sun").weekdays == (1 << 5 | 1 << 6 | 1));
  CHECK(cron("1,2,5-7/2 3 4 5 6").minutes == (1ull << 1 | 1ull << 2 | 1ull << 5 | 1ull << 7));
  CHECK(cron("@weekly") == cron("0 0 * * 0"));
  CHECK(cron("@MIDNIGHT") == cron("  0\t0 * * *  "));
  CHECK(cron("*,5 * * * *").minute_star);
  CHECK_FALSE(cron("5,* * * * *").minute_star);
  CHECK(cron("@reboot").at_boot);
}

TEST_CASE("two day fields are both when one begins with a star, else either", "[calendar]") {
  // Odd days that are Fridays; odd days and Fridays.
  CHECK(next("0 0 */2 * 5", local(2026, 1, 1)) == "2026-01-09 00:00");
  CHECK(next("0 0 1-31/2 * 5", local(2026, 1, 1)) == "2026-01-02 00:00");
  CHECK(next("0 0 13 * +5", local(2026, 1, 1)) == "2026-02-13 00:00");
}

TEST_CASE("what cron has not: last days, nearest weekdays, numbered weekdays", "[calendar]") {
  CHECK(next("0 0 L * *", local(2028, 2, 1)) == "2028-02-29 00:00");
  CHECK(next("0 0 LW * *", local(2026, 5, 1)) == "2026-05-29 00:00");   // the 31st is a Sunday
  CHECK(next("0 0 15W * *", local(2026, 8, 1)) == "2026-08-14 00:00");  // the 15th is a Saturday
  CHECK(next("0 0 1W * *", local(2026, 7, 31)) == "2026-08-03 00:00");  // the 1st is a Saturday: not July
  CHECK(next("0 0 31W * *", local(2026, 5, 1)) == "2026-05-29 00:00");
  CHECK(next("0 0 31W * *", local(2026, 6, 1)) == "2026-07-31 00:00");  // June has no 31st
  CHECK(next("0 0 * * FRI#2", local(2026, 1, 1)) == "2026-01-09 00:00");
  CHECK(next("0 0 * * 5L", local(2026, 1, 1)) == "2026-01-30 00:00");
  CHECK(next("0 0 * * fri#L", local(2026, 1, 1)) == "2026-01-30 00:00");
  CHECK(next("0 0 * * 1#5", local(2026, 1, 1)) == "2026-03-30 00:00");
  CHECK(next("0 0 ? * mon", local(2026, 1, 1)) == "2026-01-05 00:00");
}

TEST_CASE("H and ~ are the same each time and differ by name", "[calendar]") {
  CHECK(cron("H H * * *", "churn") == cron("H H * * *", "churn"));
  CHECK_FALSE(cron("H H * * *", "churn") == cron("H H * * *", "fraud"));
  for (const char* seed : {"a", "b", "c", "d"}) {
    CHECK(std::popcount(cron("H/15 * * * *", seed).minutes) == 4);
    CHECK((cron("H(10-19) * * * *", seed).minutes & ~(0x3ffull << 10)) == 0);
    CHECK((cron("0 0 H * *", seed).month_days >> 29) == 0);
    CHECK((cron("5~8 * * * *", seed).minutes & ~(0xfull << 5)) == 0);
    CHECK(std::popcount(cron("~ 3 * * *", seed).minutes) == 1);
  }
}

TEST_CASE("what is no expression is refused, with where and what to do", "[calendar]") {
  CHECK(refused("60 * * * *").find("minute '60': 60 is not in 0-59") == 0);
  CHECK(refused("5/15 * * * *").find("5-59/15") != std::string::npos);
  CHECK(refused("* 22-2 * * *").find("22-23,0-2") != std::string::npos);
  CHECK(refused("*/0 * * * *").find("a step of 0") != std::string::npos);
  CHECK(refused("0 0 3 * * *").find("no seconds") != std::string::npos);
  CHECK(refused("@dayly").find("did you mean '@daily'?") != std::string::npos);
  CHECK(refused("@every 10m").find("write 'every: 10m'") != std::string::npos);
  CHECK(refused("0 0 * foo *").find("'foo' is no month") != std::string::npos);
  CHECK(refused("0 mon * * *").find("'mon' is no hour") != std::string::npos);
  for (const char* text :
       {"",           "* * * *",      "a * * * *",           "1- * * * *",     "1-2-3 * * * *",
        ",1 * * * *", "1, * * * *",   "-1 * * * *",          "1~5/2 * * * *",  "0 0 0 * *",
        "0 0 32 * *", "0 0 * 13 *",   "0 0 * * 8",           "0 0 * * 1#6",    "L * * * *",
        "0 0 * * #2", "0 0 15W3 * *", "99999999999 * * * *", "H(5-2) * * * *", "* * * * *x"})
    refused(text);
}

TEST_CASE("valid expressions that are seldom meant are doubted", "[calendar]") {
  CHECK(doubts("0 3 * * 1-5").empty());
  CHECK(doubts("*/15 * * * *").empty());
  CHECK(doubts("0 0 13 * 5").find("days that are either") != std::string::npos);
  CHECK(doubts("0 0 */2 * 5").find("days that are both") != std::string::npos);
  CHECK(doubts("*/7 * * * *").find("56 is followed by 0 after 4") != std::string::npos);
  CHECK(doubts("0 */23 * * *").find("23 is followed by 0 after 1") != std::string::npos);
  CHECK(doubts("0 0 */2 * *").find("begins again on the 1st") != std::string::npos);
  CHECK(doubts("*/61 * * * *") == "'*/61' steps over all minutes but 0; ");
  CHECK(doubts("0 */24 * * *") == "'*/24' steps over all hours but 0; ");
  CHECK(doubts("0 0 */31 * *") == "'*/31' steps over all days but 1; ");
  CHECK(doubts("0 0 1 */12 *") == "'*/12' steps over all months but 1; ");
  CHECK(doubts("0 0 * * */7") == "'*/7' steps over all weekdays but 0; ");
  CHECK(doubts("0 0 1 */11 *").empty());
  CHECK(doubts("* 3 * * *").find("every minute of the hour '3'") != std::string::npos);
  CHECK(doubts("0 0 31 2 *").find("never comes") != std::string::npos);
}

TEST_CASE("expressions are said in words", "[calendar]") {
  const auto words = [](const char* text) { return in_words(cron(text)); };
  CHECK(words("0 3 * * *") == "at 03:00, every day");
  CHECK(words("*/15 * * * *") == "every 15 minutes, every day");
  CHECK(words("0 9-17 * * 1-5") ==
        "at 09:00, 10:00, 11:00, 12:00, 13:00, 14:00, 15:00, 16:00 and 17:00, on Monday to Friday");
  CHECK(words("30 2,14 1 * *") == "at 02:30 and 14:30, on the 1st");
  CHECK(words("0 0 L 6,12 *") == "at 00:00, on the last day of the month, in June and December");
  CHECK(words("0 0 13 * 5") == "at 00:00, on the 13th, and on Friday");
  CHECK(words("0 0 * * FRI#2") == "at 00:00, on the 2nd Friday of the month");
  CHECK(words("* * * * *") == "every minute, every day");
  CHECK(words("7 * * * *") == "at minute 7 of every hour, every day");
}
