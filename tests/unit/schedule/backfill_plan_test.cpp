#include "schedule/backfill_plan.hpp"

#include "catch.hpp"
#include "schedule/times.hpp"

using namespace mlops;
using namespace mlops::schedule;

namespace {

Timetable daily(const char* zone = "UTC") {
  Schedule entry;
  entry.name = "main";
  entry.cron = "0 3 * * *";
  entry.timezone = zone;
  pipeline::Zones zones;
  return {entry, pipeline::rule_of(entry, "p", "/", zones), std::chrono::seconds(0)};
}

SlotHistory slot(SlotOutcome outcome, std::optional<RunState> run = {}, bool same = false) {
  SlotHistory s;
  s.row.emplace();
  s.row->outcome = outcome;
  s.row->run_id = "r";
  s.run = run;
  s.same = same;
  return s;
}

std::string states(const BackfillPlan& plan) {
  std::string text;
  for (const PlannedSlot& s : plan.slots) text += std::string(s.chosen ? "+" : "") + to_string(s.state) + " ";
  return text;
}

std::string message(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    REQUIRE(error.code() == ExitCode::usage);
    return error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("what there is of a slot is told by the ledger and by its run") {
  REQUIRE(state_of({}) == SlotState::missing);
  for (const SlotOutcome outcome : {SlotOutcome::skipped, SlotOutcome::coalesced, SlotOutcome::missed,
                                    SlotOutcome::paused, SlotOutcome::superseded, SlotOutcome::rejected})
    REQUIRE(state_of(slot(outcome)) == SlotState::missing);
  REQUIRE(state_of(slot(SlotOutcome::ran, RunState::succeeded, true)) == SlotState::fresh);
  REQUIRE(state_of(slot(SlotOutcome::ran, RunState::succeeded, false)) == SlotState::stale);
  for (const RunState run : {RunState::failed, RunState::cancelled, RunState::interrupted})
    REQUIRE(state_of(slot(SlotOutcome::ran, run, true)) == SlotState::failed);
  REQUIRE(state_of(slot(SlotOutcome::ran, RunState::running)) == SlotState::running);
  // Unknown is never success: the run was deleted.
  REQUIRE(state_of(slot(SlotOutcome::ran, std::nullopt, true)) == SlotState::missing);
  SlotHistory claimed = slot(SlotOutcome::claimed);
  REQUIRE(state_of(claimed) == SlotState::missing);
  claimed.claimer_lives = true;
  REQUIRE(state_of(claimed) == SlotState::running);
  SlotHistory asked = slot(SlotOutcome::ran, RunState::failed);
  asked.asked_by = 7;
  REQUIRE(state_of(asked) == SlotState::waiting);
  REQUIRE(plan_backfill({asked}, {}, {}).slots[0].reason == "backfill 7");
}

TEST_CASE("a backfill runs what is missing, failed or stale, and what it is told to") {
  const std::vector<SlotHistory> slots = {{},
                                          slot(SlotOutcome::ran, RunState::succeeded, true),
                                          slot(SlotOutcome::ran, RunState::succeeded, false),
                                          slot(SlotOutcome::ran, RunState::failed),
                                          slot(SlotOutcome::ran, RunState::running)};
  REQUIRE(states(plan_backfill(slots, {}, {})) == "+missing fresh +stale +failed running ");
  BackfillChoice choice;
  choice.only = {SlotState::failed};
  REQUIRE(states(plan_backfill(slots, choice, {})) == "missing fresh stale +failed running ");
  // What is under way is never run beside itself.
  choice.only = {SlotState::missing, SlotState::failed, SlotState::stale, SlotState::fresh,
                 SlotState::running};
  const BackfillPlan all = plan_backfill(slots, choice, {});
  REQUIRE(states(all) == "+missing +fresh +stale +failed running ");
  REQUIRE(all.order == std::vector<std::size_t>{0, 1, 2, 3});
  REQUIRE(all.counts.at(SlotState::running) == 1);
  choice.newest_first = true;
  REQUIRE(plan_backfill(slots, choice, {}).order == std::vector<std::size_t>{3, 2, 1, 0});
}

TEST_CASE("a backfill goes to the end of a day also where clocks skip the midnight after it") {
  const Timetable timetable = daily("America/Havana");
  const auto count = [&](const char* from, const char* to) {
    return slots_between(timetable, from, to, at("2026-05-01 00:00")).size();
  };
  REQUIRE(count("2026-03-05", "2026-03-07") == 3);
  REQUIRE(count("2026-03-08", "2026-03-08") == 1);
}

TEST_CASE("what a backfill will take is told from how long runs took") {
  const std::vector<SlotHistory> slots(7);
  BackfillChoice choice;
  REQUIRE_FALSE(plan_backfill(slots, choice, {}).total);
  REQUIRE(plan_backfill(slots, choice, Milliseconds(1'000)).total == Milliseconds(7'000));
  choice.jobs = 3;
  REQUIRE(plan_backfill(slots, choice, Milliseconds(1'000)).total == Milliseconds(3'000));
  choice.only = {};
  REQUIRE(plan_backfill(slots, choice, Milliseconds(1'000)).total == Milliseconds(0));
}

TEST_CASE("days are meant whole, and nothing that is yet to come is a slot") {
  const sys_seconds now = at("2026-01-10 12:00");
  const auto between = [&](const char* from, const char* to, const char* zone = "UTC") {
    const auto slots = slots_between(daily(zone), from, to, now);
    return slots.front().local.substr(0, 16) + " " + slots.back().local.substr(0, 16) + " " +
           std::to_string(slots.size());
  };
  REQUIRE(between("2026-01-01", "2026-01-05") == "2026-01-01T03:00 2026-01-05T03:00 5");
  REQUIRE(between("2026-01-01 03:00", "2026-01-05 02:59") == "2026-01-01T03:00 2026-01-04T03:00 4");
  REQUIRE(between("2026-01-01 03:01", "2026-01-05 03:00") == "2026-01-02T03:00 2026-01-05T03:00 4");
  REQUIRE(between("2026-01-01", "") == "2026-01-01T03:00 2026-01-10T03:00 10");
  REQUIRE(between("2026-01-09", "2027-01-01") == "2026-01-09T03:00 2026-01-10T03:00 2");
  REQUIRE(between("2026-01-09", "2026-01-09", "Asia/Seoul") == "2026-01-09T03:00 2026-01-09T03:00 1");
  REQUIRE(message([&] { between("2026-01-05", "2026-01-01"); }) ==
          "--to 2026-01-01 comes before --from 2026-01-05");
  REQUIRE(message([&] { between("2026-02-01", ""); }) == "--from 2026-02-01 is yet to come");
  REQUIRE(message([&] { between("2026-01-01 04:00", "2026-01-01 05:00"); }).find("has no slot between") !=
          std::string::npos);
  REQUIRE(message([&] { between("2026-01-32", ""); }).find("cannot read the time") != std::string::npos);
  Timetable often = daily();
  often.rule.what = calendar::Every{std::chrono::seconds(1), {}};
  REQUIRE(message([&] { slots_between(often, "2026-01-01", "", now); }).find("more than 100000 slots") !=
          std::string::npos);
}
