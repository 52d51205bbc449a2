#include "db/slots.hpp"
#include "process/identity.hpp"
#include "schedule/ledger.hpp"
#include "slot_times.hpp"
#include "slot_world.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace simulation {

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::seconds;
using std::chrono::sys_seconds;

namespace {

sys_seconds instant(Time at) { return sys_seconds(seconds(at)); }
Time number(sys_seconds at) { return at.time_since_epoch().count(); }

/// A workspace in memory, with two schedulers that have a connection each. It serves many seeds: each has a
/// pipeline of its own.
class Place {
 public:
  Place() {
    const char* base = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    std::string path = std::string(base) + "/mlops-simulation-XXXXXX";
    if (!::mkdtemp(path.data())) throw Violation("cannot make a directory in " + std::string(base));
    path_ = path;
    workspace = std::make_unique<Workspace>(Workspace::create(path));
    for (auto& database : databases)
      database = std::make_unique<db::Database>(db::Database::open(workspace->database_path()));
  }
  ~Place() {
    for (auto& database : databases) database.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  std::unique_ptr<Workspace> workspace;
  std::unique_ptr<db::Database> databases[2];
  int used = 0;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Place& place() {
  static thread_local std::unique_ptr<Place> current;
  constexpr int seeds_each = 100;  // the database grows
  if (!current || current->used++ >= seeds_each) current = std::make_unique<Place>();
  return *current;
}

class World {
 public:
  World(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally)
      : random_(seed),
        wrong_(wrong),
        trace_(trace),
        tally_(tally),
        place_(place()),
        entry_(random_entry(random_)) {
    static thread_local std::uint64_t count = 0;
    pipeline_.name = "p" + std::to_string(++count);
    pipeline_.file = place_.path() + "/" + pipeline_.name + ".yaml";
    pipeline_.directory = place_.path();
    now_ = begin_ = cursor_ = entry_.begin;
    straight_ = random_.percent(70);
    // The jitter goes by the pipeline's name, which is another one for each time that a seed is simulated.
    entry_.schedule.jitter = std::chrono::milliseconds(0);
    adopt();
    trace_.note([&] {
      const Schedule& s = entry_.schedule;
      return times_of(s) + " in " + s.timezone + ", " + to_string(s.catchup) + ", " + to_string(s.overlap) +
             ", begins " + word(now_);
    });
  }

  void run() {
    for (int round = static_cast<int>(random_.pick(4, 14)); round > 0 && now_ < entry_.end; --round) {
      ++tally_.events;
      pass_time();
      if (now_ > entry_.end) break;
      switch (random_.pick(0, 15)) {
        case 0: pause(); break;
        case 1: edit(); break;
        case 2: refuse(); break;
        case 3:
        case 4: by_hand(); break;
        case 5: die(); break;
        default: break;
      }
      // As a daemon does it: what waits in queues first, the other dead last.
      if (queues()) recover();
      settle();
      if (random_.percent(20)) settle();  // the other one, at the same time
      if (!queues()) recover();
      go_on();
    }
    compare();
  }

 private:
  Ledger ledger() {
    const std::size_t which = random_.below(2);
    return Ledger(*place_.workspace, *place_.databases[which]);
  }
  db::Connection& connection() { return place_.databases[0]->connection(); }
  bool queues() const { return entry_.schedule.overlap == Overlap::queue; }
  std::vector<Entry> entries() { return {{record_, &timetables_[0]}}; }

  void adopt() {
    static thread_local pipeline::Zones zones;
    pipeline_.schedules = {entry_.schedule};
    timetables_ = timetables(pipeline_, zones);
    record_ = ledger().adopt(pipeline_, timetables_, instant(now_), true).at(0);
  }

  void pass_time() {
    if (!straight_ && random_.percent(25)) {
      now_ -= random_.of({1, 300, 4'000, 90'000, 900'000});
      now_ = std::max(now_, entry_.first);
      trace_.note([&] { return word(now_) + " the clock is set back"; });
      return;
    }
    const auto wake = next_look(timetables_[0], instant(cursor_));
    if (wake && random_.percent(50)) {
      now_ = std::max(now_ + 1, number(*wake) + random_.pick(0, 3));
    } else {
      now_ += random_.pick(1, (random_.percent(2) ? 1'500 : random_.of({1, 2, 5, 30})) *
                                  std::min<Time>(entry_.step, 3'000'000));
    }
  }

  void pause() {
    paused_ = !paused_;
    trace_.note([&] { return word(now_) + (paused_ ? " pause" : " resume"); });
    if (paused_) {
      ledger().pause(record_, &timetables_[0], "", instant(now_));
    } else {
      ledger().resume(record_, &timetables_[0], instant(now_));
    }
    expect_all(paused_ ? SlotOutcome::missed : SlotOutcome::paused);
    reread();
  }

  void edit() {
    random_policy(random_, entry_.schedule);
    trace_.note([&] {
      return word(now_) + " edit: " + to_string(entry_.schedule.catchup) + ", " +
             to_string(entry_.schedule.overlap);
    });
    adopt();
  }

  void refuse() {
    trace_.note([&] { return word(now_) + " unreadable"; });
    ledger().refuse(entries(), instant(now_), "unreadable");
    expect_all(SlotOutcome::rejected);
    reread();
  }

  // As `run --slot` does it, for the last slot or any.
  void by_hand() {
    std::optional<std::string> at;
    const std::vector<Time> slots = entry_.times.between(std::max(begin_, now_ - 200 * entry_.step), now_);
    if (slots.empty()) return;
    if (random_.percent(50))
      at = calendar::to_text(instant(slots[random_.below(slots.size())]), *timetables_[0].rule.zone);
    trace_.note([&] { return word(now_) + " by hand: " + at.value_or("now"); });
    Answer answer;
    {
      Ledger asked = ledger();
      answer = asked.claim(pipeline_, at, instant(now_));
    }
    const Time before = cursor_;
    reread();
    if (cursor_ < before && straight_) throw Violation("the ledger went back");
    // What nobody had looked at was missed, and is on record.
    if (straight_) unknown_ = true;
    if (answer.claimed) take(*answer.claimed);
  }

  // A scheduler dies: of its claims nobody knows any more.
  void die() {
    ++tally_.crashes;
    trace_.note([&] { return word(now_) + " a scheduler dies"; });
    for (const std::int64_t fence : open_) {
      set_dead(fence);
      dead_.insert(fence);
    }
    open_.clear();
  }
  void set_dead(std::int64_t fence) {
    db::Transaction transaction(*place_.databases[0]);
    if (auto slot = db::slot_with_fence(connection(), fence)) {
      slot->claimer.clear();
      db::update_slot(connection(), *slot);
    }
    transaction.commit();
  }

  void settle() {
    const bool anew = cursor_ > now_ + 600;
    const std::vector<Time> slots = entry_.times.between(cursor_, now_);
    const std::vector<Claimed> claims = ledger().settle(entries(), instant(now_));
    if (anew) return reread();
    if (straight_ && now_ > cursor_) {
      std::vector<SlotOutcome> expected =
          paused_ ? std::vector(slots.size(), SlotOutcome::paused) : outcomes(entry_.schedule, slots, now_);
      std::vector<Time> ours, theirs;
      for (const Claimed& claim : claims) ours.push_back(number(claim.at));
      const auto wanted = std::ranges::count(expected, SlotOutcome::claimed);
      const bool in_turn = entry_.schedule.catchup == Catchup::all && wanted > 1;
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (expected[i] != SlotOutcome::claimed) continue;
        const Overlap overlap = in_turn ? Overlap::queue : entry_.schedule.overlap;
        const std::size_t waiting = open_.size() + dead_.size() + theirs.size();
        const bool busy = (overlap == Overlap::skip && !(open_.empty() && theirs.empty())) ||
                          (overlap == Overlap::queue && waiting >= longest_queue);
        if (busy)
          expected[i] = SlotOutcome::skipped;
        else
          theirs.push_back(slots[i]);
      }
      if (ours != theirs)
        throw Violation("at " + word(now_) + " " + std::to_string(ours.size()) +
                        " slots were claimed, expected " + std::to_string(theirs.size()) +
                        (theirs.empty() ? "" : ", the first " + word(theirs.front())));
      for (std::size_t i = 0; i < slots.size(); ++i) outcome_[slots[i]] = expected[i];
    }
    reread();
    for (const Claimed& claim : claims) take(claim);
  }

  void recover() {
    std::set<std::int64_t> lost = std::exchange(dead_, {});
    const std::vector<Claimed> claims = ledger().recover(entries(), instant(now_));
    for (const std::int64_t fence : lost) {
      const auto slot = db::slot_with_fence(connection(), fence);
      if (slot && slot->outcome == SlotOutcome::claimed)
        throw Violation("a claim of a dead process stands: " + slot->local);
      zombies_.push_back(fence);
    }
    for (const Claimed& claim : claims) {
      if (claims.size() > lost.size()) throw Violation("more was recovered than was lost");
      take(claim);
    }
  }

  // Ours to run: most do at once, some wait, some die first.
  void take(const Claimed& claim) {
    if (claim.claim.fence <= fence_) throw Violation("a fence that is not larger than all before");
    fence_ = claim.claim.fence;
    outcome_.erase(number(claim.at));
    const std::int64_t chance = random_.pick(0, 9);
    if (chance < 6) return start(claim.claim.fence, claim.claim.run_id, number(claim.at));
    if (chance < 8) {
      open_.insert(claim.claim.fence);
      return;
    }
    ++tally_.crashes;
    trace_.note([&] { return word(now_) + " dies with the claim of " + claim.local; });
    set_dead(claim.claim.fence);
    dead_.insert(claim.claim.fence);
    if (wrong_ == Break::claim) ran_.insert(number(claim.at));  // it had run without a word
  }

  void start(std::int64_t fence, const std::string& run, Time at) {
    if (!start_slot(fence, run)) throw Violation("a valid claim of " + word(at) + " could not begin");
    trace_.note([&] { return word(now_) + " runs " + word(at); });
    if (!ran_.insert(at).second) throw Violation("the slot " + word(at) + " ran twice");
    ++tally_.runs;
  }
  bool start_slot(std::int64_t fence, const std::string& run) {
    db::Database& database = *place_.databases[random_.below(2)];
    db::Transaction transaction(database);
    const bool begun = db::start_slot(database.connection(), fence, run, Instant(instant(now_)));
    transaction.commit();
    return begun;
  }

  // Those that waited, and one that nobody believes any more.
  void go_on() {
    for (const std::int64_t fence : std::set<std::int64_t>(open_)) {
      if (random_.percent(40)) continue;
      open_.erase(fence);
      const auto slot = ledger().find_claim(fence);
      if (!slot || slot->outcome != SlotOutcome::claimed) continue;  // asked for by hand meanwhile
      const Time at = number(slot->at);
      switch (random_.pick(0, 3)) {
        case 0: ledger().reject(fence, "cannot be started"); break;
        case 1: ledger().miss(fence, instant(now_)); break;
        default: {
          const auto claimed = ledger().take_over(fence, instant(now_));
          if (claimed) start(fence, claimed->claim.run_id, at);
          break;
        }
      }
    }
    if (!zombies_.empty() && random_.percent(50)) {
      const std::int64_t fence = zombies_[random_.below(zombies_.size())];
      if (start_slot(fence, "zombie")) throw Violation("a claim that was taken over could begin");
    }
  }

  void expect_all(SlotOutcome outcome) {
    for (const Time at : entry_.times.between(cursor_, now_)) outcome_[at] = outcome;
  }

  void reread() {
    record_ = *db::find_schedule(connection(), record_.id);
    cursor_ = number(record_.cursor);
  }

  // Every slot until now is on record once, and nothing else is.
  void compare() {
    const auto rows = db::list_slots(connection(), {.schedule = record_.id, .since = {}, .outcome = {}});
    std::set<Time> seen;
    for (const SlotRecord& row : rows) {
      if (row.outcome == SlotOutcome::gap) continue;
      const std::vector<Time> slots = entry_.times.between(number(row.at) - 1, number(row.until));
      if (slots.empty() || slots.front() != number(row.at) || slots.back() != number(row.until))
        throw Violation("a row for what is no slot: " + row.local);
      if (row.slots == 1 ? row.at != row.until : static_cast<std::int64_t>(slots.size()) != row.slots)
        throw Violation("the row of " + row.local + " stands for " + std::to_string(row.slots) +
                        " slots, there are " + std::to_string(slots.size()));
      for (const Time at : slots) {
        if (!seen.insert(at).second) throw Violation("the slot " + word(at) + " has two outcomes");
        ++tally_.slots;
        if (ran_.contains(at) != (row.outcome == SlotOutcome::ran))
          throw Violation("the slot " + word(at) + " is " + to_string(row.outcome) +
                          (ran_.contains(at) ? ", it ran" : ", it never ran"));
        const auto expected = outcome_.find(at);
        if (straight_ && !unknown_ && expected != outcome_.end() &&
            expected->second != SlotOutcome::claimed && expected->second != row.outcome)
          throw Violation("the slot " + word(at) + " is " + to_string(row.outcome) + ", expected " +
                          to_string(expected->second));
      }
    }
    for (const Time at : ran_)
      if (!seen.contains(at)) throw Violation("the slot " + word(at) + " ran and is not on record");
    if (!straight_) return;
    for (const Time at : entry_.times.between(begin_, cursor_))
      if (!seen.contains(at)) throw Violation("the slot " + word(at) + " has no outcome");
  }

  std::string word(Time at) const {
    return timetables_.empty() ? std::to_string(at)
                               : calendar::to_text(instant(at), *timetables_[0].rule.zone);
  }

  Random random_;
  const Break wrong_;
  Trace& trace_;
  Tally& tally_;
  Place& place_;
  RandomEntry entry_;
  Pipeline pipeline_;
  std::vector<Timetable> timetables_;
  ScheduleRecord record_;
  Time now_ = 0, begin_ = 0, cursor_ = 0;
  bool paused_ = false;
  bool straight_ = true;  // the clock is never set back: what is to be expected is known exactly
  bool unknown_ = false;  // but for what was asked for by hand
  std::int64_t fence_ = 0;
  std::map<Time, SlotOutcome> outcome_;
  std::set<std::int64_t> open_, dead_;
  std::vector<std::int64_t> zombies_;
  std::set<Time> ran_;
};

}  // namespace

void simulate_ledger(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally) {
  World(seed, wrong, trace, tally).run();
}

}  // namespace simulation
