// Times of schedules: cron expressions, dates and times as users write them, and what time zones are read
// from.
#include <mlops/error.hpp>

#include "calendar/fires.hpp"
#include "calendar/instants.hpp"
#include "calendar/posix_rule.hpp"
#include "util/strings.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

using namespace mlops;
using namespace mlops::calendar;

namespace {

void require(bool holds, int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "line %d does not hold\n", line);
  std::abort();
}

sys_seconds instant(std::int64_t at) { return sys_seconds(seconds(at)); }

// What fires next is what fired last, an instant later; and all of it goes forward.
void fires(const Rule& rule) {
  sys_seconds at = instant(1'774'000'000);  // a week before clocks change in Berlin
  for (int i = 0; i < 5; ++i) {
    const auto next = next_fire(rule, at);
    if (!next) return;
    require(*next > at && last_fire(rule, *next) == next);
    note_on(rule, *next);
    at = *next;
  }
  for (const Gap& gap : gaps_between(rule, at - std::chrono::hours(24 * 10), at)) require(gap.instant <= at);
}

void expression(std::string_view text, const std::shared_ptr<const TimeZone>& zone) {
  CronProblem problem;
  const auto cron = parse_cron(text, "a seed", problem);
  if (!cron) {
    require(!problem.message.empty() && problem.at <= text.size());
    // What it quotes of a text that is none is that text's.
    return require(util::is_utf8(problem.message) || !util::is_utf8(text));
  }
  require(!in_words(*cron).empty());
  require(parse_cron(text, "a seed", problem) == cron);
  for (const CronProblem& doubt : doubts_about(text, *cron)) require(!doubt.message.empty());
  for (const bool both : {false, true}) {
    Rule rule;
    rule.what = *cron;
    rule.zone = zone;
    rule.run_in_gap = !both;
    rule.run_in_both = both;
    fires(rule);
  }
}

// A zone of any bytes either is none, or has an offset at each instant and is passed through in order.
void zone_of(const std::string& bytes) {
  std::shared_ptr<const TimeZone> zone;
  try {
    zone = std::make_shared<const TimeZone>(TimeZone::parse("Test/Zone", bytes));
  } catch (const Error&) {
    return;
  }
  for (std::size_t i = 0; i < zone->size() && i < 300; ++i) {
    const Period period = zone->period(i);
    require(period.begin < period.end && zone->index_at(period.begin) == i);
    if (i > 0) require(to_text(zone->to_local(period.begin)).size() > 9);  // the first began at no time
  }
  for (const std::int64_t at : {0, 1'774'000'000}) {
    for (const sys_seconds same : zone->instants_of(zone->to_local(instant(at)))) zone->to_local(same);
  }
  CronProblem problem;
  Rule rule;
  rule.what = *parse_cron("30 2 * * *", "", problem);
  rule.zone = zone;
  next_fire(rule, instant(1'774'000'000));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  static const auto berlin = std::make_shared<const TimeZone>(TimeZone::load("Europe/Berlin"));
  expression(text, berlin);
  try {
    to_text(read_time(text, *berlin), *berlin);
  } catch (const Error& error) {
    require(error.code() == ExitCode::usage && util::is_utf8(error.what()));
  }
  read_day(text);
  try {
    read_days(text, "days.txt");
  } catch (const Error& error) {
    require(error.code() == ExitCode::usage && util::is_utf8(error.what()));
  }
  if (const auto rule = parse_posix_rule(text); rule && rule->summer) {
    for (const int year : {1970, 2026, 2199}) {
      rule->begin.at(std::chrono::year(year));
      rule->end.at(std::chrono::year(year));
    }
  }
  zone_of(text);
  return 0;
}
