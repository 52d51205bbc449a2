#include "slot_times.hpp"

#include "../oracle/cronie.hpp"

#include <algorithm>

namespace simulation {

using namespace mlops;

namespace {

struct Stretch {
  const char* zone;
  int first_year;
};
constexpr Stretch stretches[] = {{"America/New_York", 2026},
                                 {"Europe/Berlin", 2026},
                                 {"Australia/Lord_Howe", 2026},
                                 {"Antarctica/Troll", 2026},
                                 {"Pacific/Apia", 2011},
                                 {"America/Havana", 2026},
                                 {"UTC", 2026}};
struct Cron {
  const char* text;
  Time step;
};
constexpr Cron crons[] = {{"30 2 * * *", 86'400},   {"0 0 * * *", 86'400},   {"15 1,2,3 * * *", 20'000},
                          {"0 */6 * * *", 21'600},  {"*/5 * * * *", 300},    {"* * * * *", 60},
                          {"*/20 2 * * *", 20'000}, {"0 3 * * 1-5", 86'400}, {"0 4 1 * *", 2'600'000},
                          {"45 23 * * 0", 600'000}, {"0 12 * * *", 86'400},  {"0 1 29 9 *", 31'000'000}};
constexpr Time periods[] = {20, 97, 3'600, 21'600};

struct Zone {
  std::string name;
  Time begin = 0, end = 0;
  std::vector<Time> changes;
  std::vector<std::vector<Time>> fires;  // by cron, and what is done in gaps and repeated hours
};

std::vector<Zone> make_zones() {
  std::vector<Zone> zones;
  for (const Stretch& stretch : stretches) {
    const oracle::MinuteTable table(stretch.zone, stretch.first_year, 1);
    Zone zone{stretch.zone, table.begin() * 60, table.end() * 60, {}, {}};
    for (Time minute = table.begin() + 1; minute < table.end(); ++minute)
      if (table.wall(minute) != table.wall(minute - 1) + 1) zone.changes.push_back(minute * 60);
    for (const Cron& cron : crons) {
      oracle::Job job(cron.text);
      job.prepare(table.least(), table.most());
      for (int way = 0; way < 4; ++way) {
        std::vector<Time>& list = zone.fires.emplace_back();
        const oracle::Choices choices{(way & 1) == 0, (way & 2) != 0, {}};
        oracle::runs_by_definition(job, table, choices, [&](Time minute) { list.push_back(minute * 60); });
      }
    }
    zones.push_back(std::move(zone));
  }
  return zones;
}

const std::vector<Zone>& zones() {
  static const std::vector<Zone> list = make_zones();
  return list;
}

}  // namespace

std::vector<Time> SlotTimes::between(Time after, Time until) const {
  std::vector<Time> slots;
  if (list_) {
    const auto first = std::ranges::upper_bound(*list_, after),
               last = std::ranges::upper_bound(*list_, until);
    if (first < last) slots.assign(first, last);
  } else {
    for (Time at = (after / period_ + 1) * period_; at <= until; at += period_) slots.push_back(at);
  }
  return slots;
}

std::optional<Time> SlotTimes::next(Time after) const {
  if (!list_) return (after / period_ + 1) * period_;
  const auto found = std::ranges::upper_bound(*list_, after);
  return found == list_->end() ? std::nullopt : std::optional(*found);
}

void read_clocks() { zones(); }

RandomEntry random_entry(Random& random) {
  const Zone& zone = zones()[random.below(zones().size())];
  RandomEntry entry;
  Schedule& s = entry.schedule;
  s.name = "main";
  s.timezone = zone.name;
  if (random.percent(80)) {
    const std::size_t which = random.below(std::size(crons));
    const int way = static_cast<int>(random.percent(60) ? 0 : random.pick(1, 3));
    s.cron = crons[which].text;
    s.run_in_gap = (way & 1) == 0;
    s.run_in_both = (way & 2) != 0;
    entry.times = SlotTimes::list(zone.fires[which * 4 + static_cast<std::size_t>(way)]);
    entry.step = crons[which].step;
  } else {
    s.every = std::chrono::seconds(random.of(periods));
    entry.step = s.every.count();
    entry.times = SlotTimes::every(entry.step);
  }
  // A table begins and ends somewhere: what lies near that is not asked for.
  constexpr Time day = 86'400;
  entry.begin = random.pick(zone.begin + 3 * day, zone.begin + 300 * day);
  if (!zone.changes.empty() && random.percent(60))
    entry.begin = zone.changes[random.below(zone.changes.size())] - random.pick(0, 3 * entry.step);
  entry.begin = std::clamp(entry.begin, zone.begin + 3 * day, zone.begin + 340 * day);
  entry.first = zone.begin + day;
  entry.end = zone.end - 3 * day;
  if (random.percent(30)) s.jitter = std::chrono::seconds(random.of({30, 700}));
  random_policy(random, s);
  return entry;
}

void random_policy(Random& random, Schedule& s) {
  s.catchup = static_cast<Catchup>(random.pick(0, 2));
  s.overlap = static_cast<Overlap>(random.pick(0, 3));
  s.catchup_most = 100;
  s.catchup_window = s.start_within = std::chrono::milliseconds(0);
  if (s.catchup == Catchup::all) {
    s.catchup_most = random.of({1, 3, 40, 150});
    if (random.percent(30)) s.catchup_window = std::chrono::seconds(random.of({120, 7'200, 600'000}));
  }
  if (random.percent(30)) s.start_within = std::chrono::seconds(random.of({30, 900, 100'000}));
}

std::vector<SlotOutcome> outcomes(const Schedule& policy, const std::vector<Time>& slots, Time until) {
  std::vector<SlotOutcome> list(slots.size(), SlotOutcome::missed);
  const Time within = policy.start_within.count() / 1000, window = policy.catchup_window.count() / 1000;
  const auto in_time = [&](Time at, Time limit) { return limit == 0 || until - at <= limit; };
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::size_t age = slots.size() - 1 - i;  // 0: the newest
    const bool starts = in_time(slots[i], within);
    switch (policy.catchup) {
      case Catchup::none:
        if (age == 0 && starts && until - slots[i] <= 60) list[i] = SlotOutcome::claimed;
        break;
      case Catchup::all:
        if (age < static_cast<std::size_t>(policy.catchup_most) && starts && in_time(slots[i], window))
          list[i] = SlotOutcome::claimed;
        break;
      case Catchup::last:
        if (!in_time(slots.back(), within)) break;
        list[i] = age == 0 ? SlotOutcome::claimed : SlotOutcome::coalesced;
        break;
    }
  }
  return list;
}

}  // namespace simulation
