#include "slot_world.hpp"

#include "pipeline/schedule_rule.hpp"
#include "schedule/decisions.hpp"
#include "slot_times.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace simulation {

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::seconds;
using std::chrono::sys_seconds;

namespace {

sys_seconds instant(Time at) { return sys_seconds(seconds(at)); }
Time number(sys_seconds at) { return at.time_since_epoch().count(); }

class World {
 public:
  World(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally)
      : random_(seed), wrong_(wrong), trace_(trace), tally_(tally), entry_(random_entry(random_)) {
    now_ = cursor_ = entry_.begin;
    read();
    trace_.note([&] {
      const Schedule& s = entry_.schedule;
      return times_of(s) + " in " + s.timezone + (s.run_in_gap ? "" : ", not in gaps") +
             (s.run_in_both ? ", in both" : "") + ", begins " + word(now_) + ", delay " +
             std::to_string(delay_);
    });
  }

  void run() {
    for (int round = static_cast<int>(random_.pick(5, 30)); round > 0 && now_ < entry_.end; --round) {
      ++tally_.events;
      pass_time();
      if (now_ > entry_.end) return;
      switch (random_.pick(0, 11)) {
        case 0: pause(); break;
        case 1: edit(); break;
        default: break;
      }
      look(cursor_);
    }
  }

 private:
  void read() {
    static thread_local pipeline::Zones zones;
    timetable_.entry = entry_.schedule;
    if (wrong_ == Break::catchup) timetable_.entry.catchup_most += 1, timetable_.entry.catchup = Catchup::all;
    timetable_.rule = pipeline::rule_of(entry_.schedule, "p", "/", zones);
    timetable_.delay = pipeline::delay_of(entry_.schedule, "p");
    delay_ = timetable_.delay.count();
  }

  // As the daemon does it, it sleeps until something is due; or it was stopped, or suspended with the
  // machine.
  void pass_time() {
    const std::optional<Time> slot = entry_.times.next(cursor_);
    if (random_.percent(60)) {
      const auto wake = next_look(timetable_, instant(cursor_));
      if (slot && (!wake || number(*wake) > *slot + delay_))
        throw Violation("it sleeps through the slot " + word(*slot));
      if (!wake) return;
      if (number(*wake) > now_) now_ = number(*wake);
      if (number(*wake) > entry_.end) return;
      if (paused_ || number(*wake) < now_) return;
      if (decide(timetable_, instant(cursor_), *wake).empty())
        throw Violation("it wakes for nothing at " + word(now_));
      if (random_.percent(30)) now_ += random_.pick(0, 90);
    } else if (random_.percent(20)) {
      now_ -= random_.pick(1, 100'000);  // the clock is set back: nothing is due
      if (now_ < cursor_ && !decide(timetable_, instant(cursor_), instant(now_)).empty())
        throw Violation("a clock that was set back makes something due");
      now_ = std::max(now_, cursor_);
    } else {
      now_ += random_.pick(1, (random_.percent(2) ? 1'500 : random_.of({1, 2, 5, 30})) *
                                  std::min<Time>(entry_.step, 3'000'000));
    }
  }

  void pause() {
    paused_ = !paused_;
    trace_.note([&] { return word(now_) + (paused_ ? " pause" : " resume"); });
    // What was due before is not the pause's.
    void_all(paused_ ? SlotOutcome::missed : SlotOutcome::paused);
  }

  void edit() {
    void_all(SlotOutcome::superseded);
    random_policy(random_, entry_.schedule);
    read();
    trace_.note([&] { return word(now_) + " edit: " + to_string(entry_.schedule.catchup); });
  }

  void void_all(SlotOutcome outcome) {
    const Time until = now_ - delay_;
    if (until <= cursor_) return;
    const std::vector<Time> slots = entry_.times.between(cursor_, until);
    apply(void_slots(timetable_, instant(cursor_), instant(now_), outcome, "as asked"), slots,
          std::vector<SlotOutcome>(slots.size(), outcome), until);
  }

  // `cursor`: as another scheduler has read it, which looks at the same time.
  void look(Time cursor) {
    const Time until = now_ - delay_;
    if (until <= cursor_) return;
    if (paused_) return void_all(SlotOutcome::paused);
    const std::vector<Time> slots = entry_.times.between(cursor_, until);
    std::vector<Decision> decisions = decide(timetable_, instant(cursor), instant(now_));
    if (wrong_ == Break::slot && !decisions.empty() && random_.percent(20)) decisions.pop_back();
    trace_.note([&] { return word(now_) + " look: " + std::to_string(slots.size()) + " due"; });
    apply(decisions, slots, outcomes(entry_.schedule, slots, until), until);
    if (random_.percent(50)) {  // the other one comes a moment later
      now_ += random_.pick(0, 2);
      const Time then = now_ - delay_;
      const std::vector<Time> rest = entry_.times.between(cursor_, then);
      apply(decide(timetable_, instant(cursor_), instant(now_)), rest, outcomes(entry_.schedule, rest, then),
            then);
    }
  }

  // Each of these slots has one outcome, the expected one, and nothing else has.
  void apply(const std::vector<Decision>& decisions, const std::vector<Time>& slots,
             const std::vector<SlotOutcome>& expected, Time until) {
    std::size_t k = 0;
    Time last_gap = 0;
    for (const Decision& d : decisions) {
      const Time at = number(d.at);
      if (d.outcome == SlotOutcome::gap) {
        if (at <= cursor_ || at > until || at < last_gap)
          throw Violation("a gap out of its turn: " + word(at));
        last_gap = at;
        continue;
      }
      if (d.slots < 1 || (d.slots > 1 && d.outcome == SlotOutcome::claimed))
        throw Violation("a row that stands for nothing");
      for (std::int64_t n = 0; n < d.slots; ++n, ++k) {
        if (k >= slots.size())
          throw Violation("a slot that is none: " + word(at) + ", " + to_string(d.outcome));
        if (n == 0 && slots[k] != at)
          throw Violation("the slot " + word(slots[k]) + " is left out, there is " + word(at));
        if (n == d.slots - 1 && slots[k] != number(d.until))
          throw Violation("a row that ends elsewhere: " + word(number(d.until)));
        if (d.outcome != expected[k])
          throw Violation("the slot " + word(slots[k]) + " is " + to_string(d.outcome) + ", expected " +
                          to_string(expected[k]));
        if (slots[k] <= last_) throw Violation("the slot " + word(slots[k]) + " has a second outcome");
        last_ = slots[k];
        ++tally_.slots;
        tally_.runs += d.outcome == SlotOutcome::claimed;
      }
    }
    if (k != slots.size()) throw Violation("the slot " + word(slots[k]) + " has no outcome");
    cursor_ = std::max(cursor_, until);
  }

  std::string word(Time at) const { return calendar::to_text(instant(at), *timetable_.rule.zone); }

  Random random_;
  const Break wrong_;
  Trace& trace_;
  Tally& tally_;
  RandomEntry entry_;
  Timetable timetable_;
  Time now_ = 0, cursor_ = 0, delay_ = 0, last_ = 0;
  bool paused_ = false;
};

}  // namespace

void simulate_slots(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally) {
  World(seed, wrong, trace, tally).run();
}

}  // namespace simulation
