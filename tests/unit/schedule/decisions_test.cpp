#include "schedule/decisions.hpp"

#include "catch.hpp"
#include "schedule/times.hpp"

#include <map>
#include <random>

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

Timetable table(Schedule entry) {
  if (entry.timezone.empty()) entry.timezone = "UTC";
  if (entry.name.empty()) entry.name = "main";
  pipeline::Zones zones;
  return {entry, pipeline::rule_of(entry, "p", "/", zones), pipeline::delay_of(entry, "p")};
}

Schedule hourly(Catchup catchup) {
  Schedule s;
  s.cron = "0 * * * *";
  s.catchup = catchup;
  return s;
}

std::string words(const std::vector<Decision>& decisions) {
  std::string text;
  for (const Decision& d : decisions) {
    text += d.local.substr(5, 11) + " " + to_string(d.outcome);
    if (d.slots > 1) text += " x" + std::to_string(d.slots);
    text += "; ";
  }
  return text;
}

}  // namespace

TEST_CASE("what was missed is made up for as the catch-up says") {
  const sys_seconds cursor = at("2026-01-01 00:00"), now = at("2026-01-01 03:00:20");
  REQUIRE(words(decide(table(hourly(Catchup::none)), cursor, now)) ==
          "01-01T01:00 missed; 01-01T02:00 missed; 01-01T03:00 claimed; ");
  REQUIRE(words(decide(table(hourly(Catchup::last)), cursor, now)) ==
          "01-01T01:00 coalesced; 01-01T02:00 coalesced; 01-01T03:00 claimed; ");
  REQUIRE(words(decide(table(hourly(Catchup::all)), cursor, now)) ==
          "01-01T01:00 claimed; 01-01T02:00 claimed; 01-01T03:00 claimed; ");
  const sys_seconds late = at("2026-01-01 03:40");
  REQUIRE(words(decide(table(hourly(Catchup::none)), cursor, late)) ==
          "01-01T01:00 missed; 01-01T02:00 missed; 01-01T03:00 missed; ");
  REQUIRE(words(decide(table(hourly(Catchup::last)), cursor, late)) ==
          "01-01T01:00 coalesced; 01-01T02:00 coalesced; 01-01T03:00 claimed; ");

  Schedule some = hourly(Catchup::all);
  some.catchup_most = 2;
  REQUIRE(words(decide(table(some), cursor, now)) ==
          "01-01T01:00 missed; 01-01T02:00 claimed; 01-01T03:00 claimed; ");
  some.catchup_most = 100;
  some.catchup_window = minutes(90);
  REQUIRE(words(decide(table(some), cursor, now)) ==
          "01-01T01:00 missed; 01-01T02:00 claimed; 01-01T03:00 claimed; ");
  Schedule strict = hourly(Catchup::last);
  strict.start_within = minutes(30);
  REQUIRE(words(decide(table(strict), cursor, late)) ==
          "01-01T01:00 missed; 01-01T02:00 missed; 01-01T03:00 missed; ");
}

TEST_CASE("without catch-up the newest slot runs if its time has just come, and no other") {
  Schedule often = hourly(Catchup::none);
  often.cron.clear();
  often.every = seconds(20);
  const sys_seconds cursor = at("2026-01-01 00:00");
  const auto due = [&](seconds after) { return decide(table(often), cursor, cursor + after); };
  REQUIRE(words(due(seconds(20))) == "01-01T00:00 claimed; ");
  const auto three = due(seconds(65));
  REQUIRE(words(three) == "01-01T00:00 missed; 01-01T00:00 missed; 01-01T00:01 claimed; ");
  REQUIRE(three[1].reason ==
          "nobody looked at the time from 2026-01-01T00:00:00+00:00 to 2026-01-01T00:01:05+00:00, and "
          "`catchup` is none");
  often.every = minutes(5);
  REQUIRE(words(due(minutes(6))) == "01-01T00:05 claimed; ");
  REQUIRE(words(due(minutes(6) + seconds(1))) == "01-01T00:05 missed; ");
}

TEST_CASE("of what was missed is told from when to when nobody looked") {
  const Timetable t = table(hourly(Catchup::last));
  const sys_seconds cursor = at("2026-01-01 00:00"), now = at("2026-01-01 03:20");
  REQUIRE(decide(t, cursor, now)[0].unseen_from == cursor);
  REQUIRE_FALSE(decide(t, cursor, now)[2].unseen_from);
  // The machine went down later than that.
  const sys_seconds down = at("2026-01-01 00:40");
  const auto known = decide(t, cursor, now, {.seen = down});
  REQUIRE(known[0].unseen_from == down);
  REQUIRE(known[1].unseen_from == down);
  Schedule none = hourly(Catchup::none);
  REQUIRE(decide(table(none), cursor, now, {.seen = down})[0].reason.starts_with(
      "nobody looked at the time from 2026-01-01T00:40:00+00:00 to 2026-01-01T03:20:00+00:00"));
  // Who was there and did nothing did not look.
  REQUIRE(decide(t, cursor, now, {.seen = at("2026-01-01 02:30")})[0].unseen_from == cursor);
}

TEST_CASE("nothing is decided twice, and nothing when the clock was set back") {
  const Timetable t = table(hourly(Catchup::last));
  const sys_seconds now = at("2026-01-01 03:00:00");
  REQUIRE(decide(t, now, now).empty());
  REQUIRE(decide(t, now, now - hours(10)).empty());
  REQUIRE(words(decide(t, now - seconds(1), now)) == "01-01T03:00 claimed; ");
  REQUIRE(decide(t, now, now + minutes(59)).empty());
}

TEST_CASE("a long absence does not make a row for each slot") {
  Schedule often;
  often.every = seconds(1);
  const sys_seconds cursor = at("2026-01-01 00:00"), now = at("2026-01-02 00:00");
  const auto decisions = decide(table(often), cursor, now);
  REQUIRE(decisions.size() == most_rows + 1);
  REQUIRE(decisions.front().slots == 86'400 - static_cast<std::int64_t>(most_rows));
  REQUIRE(decisions.front().at == cursor + seconds(1));
  REQUIRE(decisions.front().until == now - seconds(most_rows));
  REQUIRE(decisions.back().outcome == SlotOutcome::claimed);
  // They come to what the others before the last come to.
  REQUIRE(decisions.front().outcome == SlotOutcome::coalesced);
  REQUIRE(decisions.front().reason == decisions[1].reason);
  often.start_within = minutes(1);
  often.every = seconds(7);
  REQUIRE(decide(table(often), cursor, now).front().outcome == SlotOutcome::coalesced);
  REQUIRE(decide(table(often), cursor, now + seconds(60)).front().outcome == SlotOutcome::coalesced);
  often.every = hours(1);
  for (const Decision& d : decide(table(often), cursor, now + minutes(2)))
    REQUIRE(d.outcome == SlotOutcome::missed);
  often.catchup = Catchup::none;
  often.every = seconds(1);
  REQUIRE(decide(table(often), cursor, now).front().outcome == SlotOutcome::missed);
}

TEST_CASE("a run starts later by the jitter, always by the same") {
  Schedule s = hourly(Catchup::last);
  s.jitter = minutes(10);
  const Timetable t = table(s);
  REQUIRE(t.delay < minutes(10));
  REQUIRE(t.delay == table(s).delay);
  const sys_seconds slot = at("2026-01-01 03:00");
  if (t.delay > seconds(0)) REQUIRE(decide(t, slot - seconds(1), slot + t.delay - seconds(1)).empty());
  REQUIRE(words(decide(t, slot - seconds(1), slot + t.delay)) == "01-01T03:00 claimed; ");
}

TEST_CASE("times that clocks skip are told") {
  Schedule s;
  s.cron = "30 2 * * *";
  s.timezone = "Europe/Berlin";
  s.catchup = Catchup::all;
  REQUIRE(words(decide(table(s), at("2026-03-28 12:00"), at("2026-03-29 12:00"))) ==
          "03-29 02:30 gap; 03-29T03:00 claimed; ");
  s.run_in_gap = false;
  REQUIRE(words(decide(table(s), at("2026-03-28 12:00"), at("2026-03-29 12:00"))) == "03-29 02:30 gap; ");
  s.cron = "*/30 * * * *";
  REQUIRE(words(decide(table(s), at("2026-03-29 00:59"), at("2026-03-29 01:00"))) ==
          "03-29 02:00 gap; 03-29 02:30 gap; 03-29T03:00 claimed; ");
}

TEST_CASE("a time that clocks skip is looked at when it has come, and told also during a pause") {
  Schedule s;
  s.cron = "30 2 * * *";
  s.timezone = "Europe/Berlin";
  s.run_in_gap = false;
  const sys_seconds before = at("2026-03-28 12:00"), jump = at("2026-03-29 01:00");
  REQUIRE(next_look(table(s), before) == jump);
  REQUIRE(words(decide(table(s), before, jump)) == "03-29 02:30 gap; ");
  REQUIRE(next_look(table(s), jump) == at("2026-03-30 00:30"));
  REQUIRE(words(void_slots(table(s), before, at("2026-03-30 12:00"), SlotOutcome::paused, "paused")) ==
          "03-29 02:30 gap; 03-30T02:30 paused; ");
  s.except = {"2026-03-29"};
  REQUIRE(next_look(table(s), before) == at("2026-03-30 00:30"));
}

// Whatever the clock does between two looks: each slot gets one outcome, in order, and none is left out.
TEST_CASE("jumps of the clock, restarts and long sleeps leave no hole and no double") {
  std::mt19937 random(20261129);
  const auto pick = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
  for (int round = 0; round < 100; ++round) {
    Schedule s;
    const char* const times[] = {"*/5 * * * *", "0 * * * *", "30 2 * * *", "0 9-17 * * 1-5"};
    s.cron = times[pick(4)];
    s.timezone = pick(2) == 0 ? "UTC" : "America/New_York";
    s.catchup = static_cast<Catchup>(pick(3));
    s.catchup_most = 1 + pick(5);
    const Timetable t = table(s);
    sys_seconds cursor = at("2026-03-07 00:00"), now = cursor;
    const sys_seconds begin = cursor;
    std::map<std::pair<sys_seconds, std::string>, SlotOutcome> ledger;
    for (int look = 0; look < 100; ++look) {
      const int kind = pick(10);
      now += kind == 0 ? -seconds(pick(86'400)) : kind == 1 ? seconds(pick(10 * 86'400)) : seconds(pick(900));
      for (const Decision& d : decide(t, cursor, now)) {
        INFO(s.cron << " " << s.timezone << " round " << round);
        REQUIRE(d.at > cursor);
        REQUIRE(d.until <= now);
        if (d.slots == 1) REQUIRE(ledger.emplace(std::pair(d.at, d.local), d.outcome).second);
        if (d.slots > 1) {
          for (const sys_seconds each :
               calendar::fires_between(t.rule, d.at - seconds(1), d.until, 1'000'000))
            REQUIRE(ledger.emplace(std::pair(each, t.text(each)), d.outcome).second);
        }
      }
      cursor = std::max(cursor, settled_until(t, now));
    }
    std::erase_if(ledger, [](const auto& entry) { return entry.second == SlotOutcome::gap; });
    std::size_t expected = 0;
    for (const sys_seconds each : calendar::fires_between(t.rule, begin, cursor, 1'000'000)) {
      ++expected;
      REQUIRE(ledger.contains({each, t.text(each)}));
    }
    REQUIRE(ledger.size() == expected);
  }
}
