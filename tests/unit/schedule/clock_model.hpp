// What the ledger is to have of entries of a schedule, told with numbers only: the model beside the ledger in
// clock_jumps_test.cpp.
#pragma once

#include <mlops/schedule.hpp>
#include <mlops/slots.hpp>

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace clock_model {

using namespace mlops;

using Time = std::int64_t;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  Time pick(Time least, Time most) {
    return least + static_cast<Time>(engine_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool one_in(int n) { return pick(1, n) == 1; }
  template <class T, std::size_t N>
  T of(const T (&list)[N]) {
    return list[pick(0, static_cast<Time>(N) - 1)];
  }

 private:
  std::mt19937_64 engine_;
};

/// Slots are at `rest`, `rest + step` and so on: what each of these texts means.
struct Times {
  const char* text;
  Time step, rest;
};
constexpr Times all_times[] = {{"cron: '* * * * *'", 60, 0},
                               {"cron: '*/5 * * * *'", 300, 0},
                               {"cron: '0 * * * *'", 3600, 0},
                               {"cron: '30 2 * * *'", 86'400, 9000},
                               {"cron: '0 0 * * 1'", 604'800, 345'600},
                               {"every: 97s", 97, 0},
                               {"every: 6h", 21'600, 0},
                               {"every: 20s, start: 2001-01-01", 20, 0}};

struct Policy {
  Catchup catchup = Catchup::last;
  Time most = 100, window = 0, start_within = 0;
  Overlap overlap = Overlap::skip;
  std::string text;
};

inline Policy random_policy(Random& random) {
  Policy p;
  p.catchup = static_cast<Catchup>(random.pick(0, 2));
  p.overlap = static_cast<Overlap>(random.pick(0, 3));
  std::string limits;
  if (p.catchup == Catchup::all) {
    p.most = random.of({Time{1}, Time{3}, Time{40}, Time{150}});
    limits = ", max: " + std::to_string(p.most);
    if (random.one_in(3)) {
      p.window = random.of({Time{120}, Time{7200}, Time{600'000}});
      limits += ", window: " + std::to_string(p.window) + "s";
    }
  }
  p.text = std::string(", catchup: {mode: ") + to_string(p.catchup) + limits +
           "}, overlap: " + to_string(p.overlap);
  if (random.one_in(3)) {
    p.start_within = random.of({Time{30}, Time{900}, Time{100'000}});
    p.text += ", start_within: " + std::to_string(p.start_within) + "s";
  }
  return p;
}

/// What the ledger is to have of one entry, kept as stretches of slots that came to the same.
class Model {
 public:
  struct Stretch {
    Time first, last, step;
    SlotOutcome outcome;
    bool shared;   ///< one row of the ledger, not one a slot
    Time decided;  ///< what the clock showed then
  };
  struct Claim {
    SlotOutcome outcome;
    Time decided;
  };

  Times times{};
  Policy policy;
  Time delay = 0, cursor = 0, since = 0;
  bool paused = false;
  std::list<Stretch> stretches;   ///< of slots that were never claimed
  std::map<Time, Claim> claimed;  ///< claimed, and what became of them

  Time up_to(Time at) const { return at - ((at - times.rest) % times.step + times.step) % times.step; }

  /// A clock that was set back by more than ten minutes.
  bool begin_anew(Time now) {
    if (cursor <= now + 600) return false;
    cursor = now;
    return true;
  }

  /// The last slot with a row.
  Time last_slot() const {
    Time first = 0, last = 0;
    for (const Stretch& s : stretches) {
      if ((s.shared ? s.first : s.last) > first) first = s.shared ? s.first : s.last, last = s.last;
    }
    if (!claimed.empty() && claimed.rbegin()->first > first) last = claimed.rbegin()->first;
    return last;
  }

  /// All slots until `until` come to the same.
  void settle_as(SlotOutcome outcome, Time until, Time now) {
    if (until <= cursor) return;
    add(up_to(open_after(until, now)) + times.step, up_to(until), outcome, 1000, now);
    cursor = until;
  }

  /// The slots that are to run at `now`.
  std::vector<Time> decide(Time now) {
    const Time until = now - delay;
    std::vector<Time> run;
    if (until <= cursor) return run;
    const Time first = up_to(open_after(until, now)) + times.step, last = up_to(until);
    cursor = until;
    const auto in_time = [&](Time at, Time limit) { return limit == 0 || until - at <= limit; };
    const auto run_from = [&](Time oldest, Time limit) {
      for (Time at = last; at >= std::max(first, oldest); at -= times.step)
        if (in_time(at, policy.start_within) && in_time(at, limit)) run.insert(run.begin(), at);
      const Time rest = run.empty() ? last : run.front() - times.step;
      add(first, rest, SlotOutcome::missed,
          std::max<Time>(1000, policy.catchup == Catchup::all ? policy.most : 0), now, last);
    };
    switch (policy.catchup) {
      case Catchup::none: run_from(until - last <= 60 ? last : last + 1, 0); break;
      case Catchup::all: run_from(last - (policy.most - 1) * times.step, policy.window); break;
      case Catchup::last:
        if (last < first) break;
        if (in_time(last, policy.start_within)) {
          run.push_back(last);
          add(first, last - times.step, SlotOutcome::coalesced, 1000, now, last);
        } else {
          add(first, last, SlotOutcome::missed, 1000, now, last);
        }
        break;
    }
    return run;
  }

  /// Whether slots that were claimed wait on when their process has died.
  bool waits_on() const { return policy.overlap == Overlap::queue; }

  /// What a claimed slot comes to whose process died before its run began; `claimed`: it is claimed again.
  SlotOutcome after_death(Time at, Time late) const {
    if (paused) return SlotOutcome::paused;
    if ((policy.start_within > 0 && late > policy.start_within) || (late > 60 && at <= since))
      return SlotOutcome::missed;
    if (waits_on() || policy.catchup == Catchup::all) return SlotOutcome::claimed;
    const bool later = std::any_of(claimed.upper_bound(at), claimed.end(), [](const auto& slot) {
      return slot.second.outcome == SlotOutcome::ran || slot.second.outcome == SlotOutcome::claimed;
    });
    if (policy.catchup == Catchup::none)
      return late > 60 || later ? SlotOutcome::missed : SlotOutcome::claimed;
    return later ? SlotOutcome::coalesced : SlotOutcome::claimed;
  }

  /// Whether a row begins at this time.
  bool has_row(Time at) const {
    return claimed.contains(at) || std::ranges::any_of(stretches, [&](const Stretch& s) {
             return s.shared ? s.first == at : s.first <= at && at <= s.last && (at - s.first) % s.step == 0;
           });
  }
  void add_one(Time at, SlotOutcome outcome, Time now) {
    stretches.push_back({at, at, times.step, outcome, false, now});
  }

 private:
  /// After which time slots are to be decided about. What was decided when the clock showed less than now
  /// stays; what a clock decided that was ahead is gone.
  Time open_after(Time until, Time now) {
    Time from = std::max(cursor, until > since ? since : until - 61);
    if (until <= from) return from;
    const Time before = now - 60;
    Time decided = from;
    for (const Stretch& s : stretches) {
      if (s.decided >= before || s.last <= from || s.first > until) continue;
      if (s.shared) {
        if (s.first > from || s.first > since) decided = std::max(decided, std::min(s.last, until));
      } else {
        const Time last = s.last > until ? s.first + (until - s.first) / s.step * s.step : s.last;
        if (last > from) decided = std::max(decided, last);
      }
    }
    for (const auto& [at, claim] : claimed)
      if (at > from && at <= until && claim.decided < before) decided = std::max(decided, at);
    from = decided;
    std::list<Stretch> kept;
    for (const Stretch& s : stretches) {
      const bool of_before = s.shared && s.first <= since;
      if (s.decided < before || s.last <= from || s.first > until || of_before) {
        kept.push_back(s);
        continue;
      }
      Stretch left = s, right = s;
      left.last = s.first + (from - s.first) / s.step * s.step;
      if (s.first <= from) put_back(kept, left);
      right.first = until < s.first ? s.first : s.first + ((until - s.first) / s.step + 1) * s.step;
      if (right.first <= s.last) put_back(kept, right);
    }
    stretches = std::move(kept);
    return from;
  }
  static void put_back(std::list<Stretch>& list, Stretch s) {
    s.shared = s.shared && s.first < s.last;
    list.push_back(s);
  }

  // Slots that were claimed, before the clock was set back, stay what they are. Of all up to `newest` only so
  // many have a row each.
  void add(Time first, Time last, SlotOutcome outcome, Time rows, Time now, std::optional<Time> newest = {}) {
    const Time shared_until = newest.value_or(last) - rows * times.step;
    const auto put = [&](Time from, Time to) {
      const Time end = std::min(to, shared_until);
      if (from <= end) stretches.push_back({from, end, times.step, outcome, from < end, now});
      for (Time at = std::max(from, shared_until + times.step); at <= to; at += times.step) {
        // A row of many, of before an edit, may begin here.
        if (!has_shared(at)) add_one(at, outcome, now);
      }
    };
    for (auto slot = claimed.lower_bound(first); slot != claimed.end() && slot->first <= last; ++slot) {
      if (up_to(slot->first) != slot->first) continue;  // of other times
      if (first < slot->first) put(first, slot->first - times.step);
      first = slot->first + times.step;
    }
    if (first <= last) put(first, last);
  }
  bool has_shared(Time at) const {
    return std::ranges::any_of(stretches, [&](const Stretch& s) { return s.shared && s.first == at; });
  }
};

}  // namespace clock_model
