#include "schedule/forecast.hpp"

#include "catch.hpp"
#include "schedule/stagger.hpp"
#include "schedule/times.hpp"

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

Subject subject(const std::string& pipeline, const std::string& cron, minutes usual = minutes(0),
                minutes slow = minutes(0), const std::string& zone = "UTC") {
  Schedule entry;
  entry.name = "main";
  entry.timezone = zone;
  (cron.starts_with("every ") ? entry.at : entry.cron) = cron;
  if (!entry.at.empty()) {
    entry.at.clear();
    entry.every = minutes(std::stoi(cron.substr(6)));
  }
  pipeline::Zones zones;
  Subject result{
      pipeline + ".yaml", pipeline, {entry, pipeline::rule_of(entry, pipeline, "/", zones), seconds(0)}, {}};
  if (usual.count() > 0) result.usual = Usual{3, usual, std::max(usual, slow)};
  return result;
}

std::string words(const Forecast& forecast, const std::vector<Subject>& subjects) {
  std::string text;
  for (const Fire& fire : forecast.fires) {
    text += subjects[fire.subject].timetable.text(fire.at).substr(11, 5) + " " + to_string(fire.outcome);
    if (fire.meets) text += fire.certain ? " meets" : " may meet";
    text += "; ";
  }
  return text;
}

Window day(const char* from = "2026-01-01 00:00", hours length = hours(24)) {
  return {at(from), at(from) + length - seconds(1)};
}

}  // namespace

TEST_CASE("the usual duration is a median, and what 95 of 100 take") {
  REQUIRE_FALSE(usual_of(std::vector<std::int64_t>()));
  std::vector<std::int64_t> hundred;
  for (int i = 100; i > 0; --i) hundred.push_back(i);
  const auto usual = usual_of(hundred);
  REQUIRE(usual->runs == 100);
  REQUIRE(usual->median.count() == 50);
  REQUIRE(usual->slow.count() == 95);
  REQUIRE(usual_of(std::vector<std::int64_t>{7})->slow.count() == 7);
}

TEST_CASE("a fire that meets the run before does what its overlap says") {
  std::vector<Subject> subjects = {subject("p", "0,30 10-11 * * *", minutes(40), minutes(70))};
  const auto outcome = [&](Overlap overlap) {
    subjects[0].timetable.entry.overlap = overlap;
    return words(look_ahead(subjects, day(), 4), subjects);
  };
  REQUIRE(outcome(Overlap::skip) ==
          "10:00 runs; 10:30 skipped meets; 11:00 runs may meet; 11:30 skipped meets; ");
  REQUIRE(outcome(Overlap::queue) == "10:00 runs; 10:30 waits meets; 11:00 waits meets; 11:30 waits meets; ");
  REQUIRE(outcome(Overlap::replace) ==
          "10:00 runs; 10:30 replaces meets; 11:00 replaces meets; 11:30 replaces meets; ");
  REQUIRE(outcome(Overlap::allow) == "10:00 runs; 10:30 runs meets; 11:00 runs meets; 11:30 runs meets; ");
  const Forecast queued = [&] {
    subjects[0].timetable.entry.overlap = Overlap::queue;
    return look_ahead(subjects, day(), 4);
  }();
  REQUIRE(queued.fires[3].begins == at("2026-01-01 12:00"));
  REQUIRE(queued.peak == 1);
}

TEST_CASE("without history nothing is known to meet") {
  std::vector<Subject> subjects = {subject("p", "* * * * *")};
  const Forecast forecast = look_ahead(subjects, day("2026-01-01 00:00", hours(1)), 1);
  REQUIRE(forecast.fires.size() == 60);
  REQUIRE(std::ranges::none_of(forecast.fires, [](const Fire& fire) { return fire.meets.has_value(); }));
  REQUIRE(forecast.peak == 1);
}

TEST_CASE("load is counted, and told where it is more than may go on") {
  const std::vector<Subject> subjects = {subject("a", "0 3 * * *", minutes(60)),
                                         subject("b", "30 3 * * *", minutes(60)),
                                         subject("c", "30 3 * * *", minutes(30))};
  const Forecast forecast = look_ahead(subjects, day(), 2);
  REQUIRE(forecast.peak == 3);
  REQUIRE(forecast.peak_at == at("2026-01-01 03:30"));
  REQUIRE(forecast.over == minutes(30));
  REQUIRE(forecast.fires[2].at_once == 3);
  const HeatMap hours_map = heat_of(forecast, day(), *subjects[0].timetable.rule.zone);
  REQUIRE(hours_map.rows.size() == 24);
  REQUIRE(hours_map.runs[3] == std::vector<std::size_t>{1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3});
  REQUIRE(hours_map.runs[4][0] == 1);
  REQUIRE(hours_map.runs[4][6] == 0);
  const Window week = day("2026-01-01 00:00", hours(24 * 7));
  const HeatMap days_map = heat_of(look_ahead(subjects, week, 2), week, *subjects[0].timetable.rule.zone);
  REQUIRE(days_map.rows[3] == "Thu");
  for (const auto& row : days_map.runs) {
    REQUIRE(row[2] == 0);
    REQUIRE(row[3] == 3);
    REQUIRE(row[4] == 1);
  }
}

TEST_CASE("what clocks do is told") {
  const std::vector<Subject> subjects = {
      subject("fixed", "30 2 * * *", minutes(1), minutes(1), "Europe/Berlin"),
      subject("often", "*/30 2 * * *", minutes(1), minutes(1), "Europe/Berlin")};
  const Forecast forecast = look_ahead(subjects, day("2026-03-28 23:00"), 2);
  REQUIRE(forecast.fires.size() == 3);
  REQUIRE(forecast.fires[0].outcome != forecast.fires[1].outcome);
  REQUIRE(words(forecast, subjects).find("03:00 gap") != std::string::npos);
  REQUIRE(std::ranges::any_of(forecast.fires, [](const Fire& fire) {
    return fire.note == "in place of 02:30, which clocks skip" && fire.outcome == Fire::Outcome::runs;
  }));
}

TEST_CASE("a run that ends after its deadline is told ahead") {
  std::vector<Subject> subjects = {subject("p", "30 5 * * *", minutes(20), minutes(50))};
  subjects[0].timetable.entry.deadline = "06:00";
  const Forecast forecast = look_ahead(subjects, day(), 2);
  REQUIRE(forecast.fires.at(0).late == minutes(20));
  // Of many slots before it the last one counts.
  subjects = {subject("p", "30 * * * *", minutes(20), minutes(50))};
  subjects[0].timetable.entry.deadline = "06:00";
  int late = 0;
  for (const Fire& fire : look_ahead(subjects, day(), 2).fires) late += fire.late.count() > 0 ? 1 : 0;
  REQUIRE(late == 1);
}

TEST_CASE("more fires than can be looked at are cut off, and that is told") {
  std::vector<Subject> subjects = {subject("p", "* * * * *")};
  const Forecast forecast = look_ahead(subjects, day("2026-01-01 00:00", hours(24 * 366)), 2);
  REQUIRE(forecast.fires.size() == most_fires);
  REQUIRE(forecast.cut == at("2026-01-01 00:00") + minutes(most_fires - 1));
}

TEST_CASE("staggering lowers the peak, and keeps how often each runs") {
  std::vector<Subject> subjects;
  for (int i = 0; i < 6; ++i) subjects.push_back(subject("p" + std::to_string(i), "0 3 * * *", minutes(10)));
  subjects.push_back(subject("hourly", "@hourly", minutes(5)));
  subjects.push_back(subject("quarter", "*/15 * * * *", minutes(2)));
  subjects.push_back(subject("every", "every 30", minutes(2)));
  const Window window = day();
  const Forecast before = look_ahead(subjects, window, 2);
  REQUIRE(before.peak == 9);
  const Staggering result = stagger(subjects, before, window);
  REQUIRE(result.before == 9);
  REQUIRE(result.after <= 2);
  REQUIRE_FALSE(result.moves.empty());
  // Written as it says, the schedules do what was promised.
  std::vector<Subject> moved = subjects;
  pipeline::Zones zones;
  for (const Move& move : result.moves) {
    Schedule& entry = moved[move.subject].timetable.entry;
    (move.key == "cron" ? entry.cron : entry.start) = move.to;
    moved[move.subject].timetable.rule = pipeline::rule_of(entry, "p", "/", zones);
  }
  const Forecast after = look_ahead(moved, window, 2);
  REQUIRE(after.peak == result.after);
  std::vector<int> count(subjects.size()), count_after(subjects.size());
  for (const Fire& fire : before.fires) ++count[fire.subject];
  for (const Fire& fire : after.fires) {
    ++count_after[fire.subject];
    if (fire.subject < 6) REQUIRE(fire.at < at("2026-01-01 04:00"));
    if (fire.subject < 6) REQUIRE(fire.at >= at("2026-01-01 03:00"));
  }
  REQUIRE(count == count_after);
}

TEST_CASE("what has a deadline or is spread already stays, and nothing is moved for nothing") {
  std::vector<Subject> subjects = {subject("a", "0 3 * * *", minutes(10)),
                                   subject("b", "0 3 * * *", minutes(10))};
  subjects[0].timetable.entry.deadline = "06:00";
  Staggering result = stagger(subjects, look_ahead(subjects, day(), 2), day());
  REQUIRE(result.moves.size() == 1);
  REQUIRE(result.moves[0].subject == 1);
  REQUIRE(result.moves[0].to == "10 3 * * *");
  subjects[1].timetable.entry.deadline = "06:00";
  REQUIRE(stagger(subjects, look_ahead(subjects, day(), 2), day()).moves.empty());
  subjects = {subject("a", "H 3 * * *", minutes(60)), subject("b", "~ 3 * * *", minutes(60))};
  REQUIRE(stagger(subjects, look_ahead(subjects, day(), 2), day()).moves.empty());
  subjects = {subject("a", "0 3 * * *", minutes(10)), subject("b", "0 5 * * *", minutes(10))};
  REQUIRE(stagger(subjects, look_ahead(subjects, day(), 2), day()).moves.empty());
}
