// Random schedules beside the oracle: when each runs over years, in zones with uncommon clocks.
//
//   cron_oracle [SCHEDULES [YEARS [ZONE...]]]      1000, 10 and all by default, for a quarter of an hour;
//   $SEED repeats a run
//
// Each schedule is compared with cronie's own loop, and, with other choices for changes of clocks, for days
// and for holidays, with their definition. Exit code 1: there was a difference.
#include "calendar/fires.hpp"
#include "cronie.hpp"

#include <chrono>
#include <cstdio>
#include <iterator>
#include <random>
#include <set>

using namespace mlops::calendar;
using namespace std::chrono;

namespace {

/// The first of its years is one in which something happens.
struct Stretch {
  const char* zone;
  int first_year;
};
constexpr Stretch stretches[] = {
    {"America/New_York", 2026},
    {"Europe/Berlin", 2026},
    {"Australia/Lord_Howe", 2026},  // half an hour
    {"Antarctica/Troll", 2026},     // two hours
    {"Africa/Casablanca", 2026},    // by the moon
    {"Pacific/Apia", 2011},         // a day that never was
    {"Asia/Seoul", 1987},
    {"America/Havana", 2026},  // at midnight
    {"UTC", 2026},
    {"Asia/Kathmandu", 1985},    // a quarter of an hour
    {"Europe/Dublin", 2026},     // winter time is the exception
    {"America/St_Johns", 2006},  // a minute past midnight
    {"Antarctica/Casey", 2018},  // three hours
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  int pick(int least, int most) {
    return least + static_cast<int>(engine_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool one_in(int n) { return pick(1, n) == 1; }
  template <class T, std::size_t N>
  T of(const T (&list)[N]) {
    return list[pick(0, static_cast<int>(N) - 1)];
  }

 private:
  std::mt19937_64 engine_;
};

std::string value(Random& random, int number, int field) {
  static constexpr const char* months[] = {"jan", "Feb", "MAR", "april", "may", "jun",
                                           "jul", "aug", "sep", "oct",   "nov", "december"};
  static constexpr const char* weekdays[] = {"sun", "Mon", "tuesday", "WED", "thu", "fri", "sat"};
  if (field == 3 && random.one_in(3)) return months[number - 1];
  if (field == 4 && number < 7 && random.one_in(3)) return weekdays[number];
  return (random.one_in(20) ? "0" : "") + std::to_string(number);
}

std::string item(Random& random, int field) {
  static constexpr int least[] = {0, 0, 1, 1, 0}, most[] = {59, 23, 31, 12, 7};
  const int low = least[field], high = most[field];
  switch (random.pick(0, 9)) {
    case 0: return "*/" + std::to_string(random.pick(1, high + 3));
    case 1:
    case 2:
    case 3: {
      const int a = random.pick(low, high), b = random.pick(a, high);
      std::string text = value(random, a, field) + "-" + value(random, b, field);
      if (field == 4 && random.one_in(8)) text = value(random, random.pick(1, 6), field) + "-sun";
      return text + (random.one_in(2) ? "/" + std::to_string(random.pick(1, 9)) : "");
    }
    // The hours at which clocks change are asked for more often.
    case 4:
    case 5: return value(random, field == 1 ? random.pick(0, 3) : random.pick(low, high), field);
    default: return value(random, random.pick(low, high), field);
  }
}

std::string expression(Random& random) {
  if (random.one_in(50))
    return random.of({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"});
  std::string text;
  for (int field = 0; field < 5; ++field) {
    if (field > 0) text += random.one_in(10) ? "\t " : " ";
    // Days are restricted less often, for something is to run.
    if (random.one_in(field < 2 ? 4 : 2)) {
      text += "*";
    } else {
      text += item(random, field);
    }
    while (random.one_in(4)) text += "," + (random.one_in(8) ? "*" : item(random, field));
  }
  return text;
}

/// What our side did, and how long it took.
struct Count {
  std::int64_t fires = 0, differences = 0;
  nanoseconds took{0};
};

std::int64_t minute_of(sys_seconds at) { return at.time_since_epoch().count() / 60; }

/// Walks our times beside those of the oracle, and asks for single ones from random instants.
void compare(const Rule& rule, const std::vector<std::int64_t>& theirs, const oracle::MinuteTable& table,
             const std::string& what, Random& random, Count& count) {
  const sys_seconds begin{seconds(table.begin() * 60)}, last{seconds(table.end() * 60 - 1)};
  const auto differ = [&](const char* how, std::optional<sys_seconds> ours, std::int64_t minute) {
    if (++count.differences <= 20)
      std::printf("DIFFERS: %s: %s: %s, and by the oracle %s\n", what.c_str(), how,
                  ours ? to_text(*ours, *rule.zone).c_str() : "never",
                  minute < 0 ? "never" : to_text(sys_seconds(seconds(minute * 60)), *rule.zone).c_str());
  };
  const auto start = steady_clock::now();
  const std::vector<sys_seconds> ours = fires_between(rule, begin, last, SIZE_MAX);
  count.took += steady_clock::now() - start;
  count.fires += static_cast<std::int64_t>(ours.size());
  for (std::size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
    if (i < ours.size() && i < theirs.size() && ours[i] == sys_seconds(seconds(theirs[i] * 60))) continue;
    differ("a run", i < ours.size() ? std::optional(ours[i]) : std::nullopt,
           i < theirs.size() ? theirs[i] : -1);
    break;
  }
  for (int i = 0; i < 10; ++i) {
    // Half of them beside a run, as that is where mistakes are.
    sys_seconds at = begin + seconds(random.pick(0, static_cast<int>((last - begin).count())));
    if (!ours.empty() && random.one_in(2))
      at = ours[static_cast<std::size_t>(random.pick(0, static_cast<int>(ours.size()) - 1))] +
           seconds(random.pick(-1, 1));
    if (at < begin) continue;
    const auto after =
        std::upper_bound(theirs.begin(), theirs.end(), floor<minutes>(at).time_since_epoch().count());
    const auto next = next_fire(rule, at);
    if (after != theirs.end() ? !next || *next != sys_seconds(seconds(*after * 60)) : next && *next <= last)
      differ("the next", next, after == theirs.end() ? -1 : *after);
    const auto before = last_fire(rule, at);
    const std::int64_t wanted = after == theirs.begin() ? -1 : *std::prev(after);
    if (wanted < 0 ? before && *before > begin : !before || minute_of(*before) != wanted)
      differ("the last", before, wanted);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int schedules = argc > 1 ? std::atoi(argv[1]) : 1000, years_ = argc > 2 ? std::atoi(argv[2]) : 10;
  const char* given = std::getenv("SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("%d schedules, %d years, %zu zones, SEED=%llu\n", schedules, years_, std::size(stretches),
              static_cast<unsigned long long>(seed));
  Random random(seed);
  std::vector<std::string> expressions;
  for (int i = 0; i < schedules; ++i) expressions.push_back(expression(random));
  const auto start = steady_clock::now();
  Count count;
  const std::set<std::string> only(argv + std::min(argc, 3), argv + argc);
  for (const Stretch& stretch : stretches) {
    if (!only.empty() && !only.contains(stretch.zone)) continue;
    // What is drawn for a zone does not depend on those before it.
    random = Random(seed + static_cast<std::uint64_t>(&stretch - stretches) + 1);
    const oracle::MinuteTable table(stretch.zone, stretch.first_year, years_);
    const auto zone = std::make_shared<const TimeZone>(TimeZone::load(stretch.zone));
    std::vector<std::int64_t> theirs;
    const auto keep = [&](std::int64_t minute) { theirs.push_back(minute); };
    for (const std::string& text : expressions) {
      CronProblem problem;
      const auto cron = parse_cron(text, "", problem);
      if (!cron) {
        std::printf("DIFFERS: '%s' is refused: %s\n", text.c_str(), problem.message.c_str());
        ++count.differences;
        continue;
      }
      Rule rule;
      rule.what = *cron;
      rule.zone = zone;
      oracle::Job job(text);
      job.prepare(table.least(), table.most());
      theirs.clear();
      oracle::cronie_runs(job, table, keep);
      const std::string what = std::string(stretch.zone) + " '" + text + "'";
      compare(rule, theirs, table, what, random, count);

      const int days = random.pick(0, 2);
      std::get<Cron>(rule.what).days = static_cast<Days>(days);
      oracle::Job other(text, static_cast<oracle::DayRule>(days));
      other.prepare(table.least(), table.most());
      oracle::Choices choices{random.one_in(2), random.one_in(2), {}};
      rule.run_in_gap = choices.run_in_gap;
      rule.run_in_both = choices.run_in_both;
      for (int i = random.pick(0, 60); i > 0; --i) {
        const int day = random.pick(table.least() / 1440, table.most() / 1440);
        choices.except.insert(day);
        rule.except.insert(local_days(std::chrono::days(day)));
      }
      theirs.clear();
      oracle::runs_by_definition(other, table, choices, keep);
      compare(rule, theirs, table,
              what + (choices.run_in_gap ? "" : ", not in gaps") + (choices.run_in_both ? ", in both" : "") +
                  ", days " + std::to_string(days) + ", without " + std::to_string(choices.except.size()) +
                  " days",
              random, count);
    }
    std::printf("%-20s %4d-%4d  %lld runs, %lld differences, %.0f s\n", stretch.zone, stretch.first_year,
                stretch.first_year + years_ - 1, static_cast<long long>(count.fires),
                static_cast<long long>(count.differences),
                duration<double>(steady_clock::now() - start).count());
    std::fflush(stdout);
  }
  std::printf(
      "%lld runs, %.3f us each, %lld differences\n", static_cast<long long>(count.fires),
      count.fires ? duration<double, std::micro>(count.took).count() / static_cast<double>(count.fires) : 0.0,
      static_cast<long long>(count.differences));
  return count.differences == 0 ? 0 : 1;
}
