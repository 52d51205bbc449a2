// The ledger on a clock that jumps: random policies, pauses, edits, unreadable files and deaths, beside a
// model that knows slots as numbers only. $MLOPS_CLOCK_JUMPS sets how many jumps there are, $SEED repeats
// them.
#include "catch.hpp"
#include "db/slots.hpp"
#include "schedule/ledger.hpp"
#include "schedule/times.hpp"
#include "temp_dir.hpp"

#include <cstdlib>
#include <list>
#include <map>
#include <random>

using namespace mlops;
using namespace mlops::schedule;
using std::chrono::seconds;

namespace {

using Time = std::int64_t;

sys_seconds instant(Time at) { return sys_seconds(seconds(at)); }
Time number(sys_seconds at) { return at.time_since_epoch().count(); }

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

Policy random_policy(Random& random) {
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
    bool shared;  ///< one row of the ledger, not one a slot
  };

  Times times{};
  Policy policy;
  Time delay = 0, cursor = 0, since = 0;
  bool paused = false;
  std::list<Stretch> stretches;         ///< of slots that were never claimed
  std::map<Time, SlotOutcome> claimed;  ///< claimed, and what became of them

  Time up_to(Time at) const { return at - ((at - times.rest) % times.step + times.step) % times.step; }

  /// A clock that was set back by more than ten minutes.
  bool begin_anew(Time now) {
    if (cursor <= now + 600) return false;
    forget(now);
    cursor = now;
    since = std::min(since, now);
    return true;
  }
  void forget(Time now) {
    stretches.remove_if([&](const Stretch& s) { return s.first > now; });
    for (Stretch& s : stretches) {
      // A row of what the entry said before it was edited cannot be divided.
      if (s.last > now && !(s.shared && s.first <= since)) s.last = now - (now - s.first) % s.step;
    }
  }

  /// All slots until `until` come to the same.
  void settle_as(SlotOutcome outcome, Time until) {
    if (until <= cursor) return;
    add(up_to(cursor) + times.step, up_to(until), outcome, 1000);
    cursor = until;
  }

  /// The slots that are to run at `now`.
  std::vector<Time> decide(Time now) {
    const Time until = now - delay;
    std::vector<Time> run;
    if (until <= cursor) return run;
    const Time first = up_to(cursor) + times.step, last = up_to(until);
    cursor = until;
    const auto in_time = [&](Time at, Time limit) { return limit == 0 || until - at <= limit; };
    const auto run_from = [&](Time oldest, Time limit) {
      for (Time at = last; at >= std::max(first, oldest); at -= times.step)
        if (in_time(at, policy.start_within) && in_time(at, limit)) run.insert(run.begin(), at);
      const Time rest = run.empty() ? last : run.front() - times.step;
      add(first, rest, SlotOutcome::missed,
          std::max<Time>(1000, policy.catchup == Catchup::all ? policy.most : 0), last);
    };
    switch (policy.catchup) {
      case Catchup::none: run_from(until - 60, 0); break;
      case Catchup::all: run_from(last - (policy.most - 1) * times.step, policy.window); break;
      case Catchup::last:
        if (last < first) break;
        if (in_time(last, policy.start_within)) {
          run.push_back(last);
          add(first, last - times.step, SlotOutcome::coalesced, 1000, last);
        } else {
          add(first, last, SlotOutcome::missed, 1000, last);
        }
        break;
    }
    return run;
  }

  void add_one(Time at, SlotOutcome outcome) { stretches.push_back({at, at, times.step, outcome, false}); }

 private:
  // Slots that were claimed, before the clock was set back, stay what they are. Of all up to `newest` only so
  // many have a row each.
  void add(Time first, Time last, SlotOutcome outcome, Time rows, std::optional<Time> newest = {}) {
    const Time shared_until = newest.value_or(last) - rows * times.step;
    const auto put = [&](Time from, Time to) {
      if (from <= std::min(to, shared_until))
        stretches.push_back(
            {from, std::min(to, shared_until), times.step, outcome, from < std::min(to, shared_until)});
      from = std::max(from, shared_until + times.step);
      if (from <= to) stretches.push_back({from, to, times.step, outcome, false});
    };
    for (auto slot = claimed.lower_bound(first); slot != claimed.end() && slot->first <= last; ++slot) {
      if (up_to(slot->first) != slot->first) continue;  // of other times
      if (first < slot->first) put(first, slot->first - times.step);
      first = slot->first + times.step;
    }
    if (first <= last) put(first, last);
  }
};

/// A workspace with one pipeline of some entries, and what is expected of each.
class Trial {
 public:
  Trial(Random& random, Time begin) : random_(random), now_(begin) {
    models_.resize(static_cast<std::size_t>(random.pick(1, 3)));
    for (Model& model : models_) {
      model.times = random.of(all_times);
      model.policy = random_policy(random);
      jitters_.push_back(random.one_in(3) ? random.of({Time{30}, Time{700}}) : 0);
    }
    adopt();
    for (Model& model : models_) model.cursor = model.since = now_;
  }

  void jump() {
    Time by =
        random_.pick(1, random_.of({Time{100}, Time{100}, Time{4000}, Time{200'000}, Time{31'536'000}}));
    if (random_.one_in(3)) by = -by;
    if (now_ + by < 1'600'000'000 || now_ + by > 2'000'000'000) by = -by;
    now_ += by;
  }

  void step() {
    jump();
    switch (random_.pick(0, 11)) {
      case 0: pause(); break;
      case 1: edit(random_.one_in(2)); break;
      case 2: refuse(); break;
      default: break;
    }
    settle();
  }

  /// The ledger holds the model's slots, each once, and nothing else.
  void compare() {
    for (std::size_t i = 0; i < models_.size(); ++i) {
      const Model& model = models_[i];
      INFO("entry " << i << ": " << text_of(i));
      std::vector<Row> rows, expected;
      for (const SlotRecord& slot :
           db::list_slots(database_.connection(), {.schedule = records_[i].id, .since = {}, .outcome = {}}))
        rows.push_back({number(slot.at), number(slot.until), slot.slots, slot.outcome});
      for (const auto& [at, outcome] : model.claimed) expected.push_back({at, at, 1, outcome});
      for (const Model::Stretch& s : model.stretches) {
        if (s.shared) expected.push_back({s.first, s.last, (s.last - s.first) / s.step + 1, s.outcome});
        for (Time at = s.first; !s.shared && at <= s.last; at += s.step)
          expected.push_back({at, at, 1, s.outcome});
      }
      std::ranges::stable_sort(expected, {}, &Row::first);
      for (std::size_t k = 0; k < std::max(rows.size(), expected.size()); ++k) {
        if (k < rows.size() && k < expected.size() && rows[k] == expected[k]) continue;
        INFO("row " << k << " of " << rows.size() << ": " << words(rows, k) << ", expected "
                    << words(expected, k));
        REQUIRE(false);
      }
      const auto record = db::find_schedule(database_.connection(), records_[i].id);
      REQUIRE(number(record->cursor) == model.cursor);
    }
  }

 private:
  struct Row {
    Time first, last, slots;
    SlotOutcome outcome;
    bool operator==(const Row&) const = default;
  };
  static std::string words(const std::vector<Row>& rows, std::size_t k) {
    if (k >= rows.size()) return "none";
    return std::to_string(rows[k].first) + ".." + std::to_string(rows[k].last) + " x" +
           std::to_string(rows[k].slots) + " " + to_string(rows[k].outcome);
  }

  std::string text_of(std::size_t i) const {
    return "{name: e" + std::to_string(i) + ", timezone: UTC, " + models_[i].times.text +
           models_[i].policy.text +
           (jitters_[i] > 0 ? ", jitter: " + std::to_string(jitters_[i]) + "s" : "") + "}";
  }

  void adopt() {
    std::string text = "name: p\nschedule:\n";
    for (std::size_t i = 0; i < models_.size(); ++i) text += "  - " + text_of(i) + "\n";
    pipeline_ = parse_pipeline(text + "steps: {a: {run: 'true'}}\n", dir_.path() + "/p.yaml",
                               {.overrides = {}, .check_files = false});
    timetables_ = schedule::timetables(pipeline_, zones_);
    records_ = ledger_.adopt(pipeline_, timetables_, instant(now_));
    for (std::size_t i = 0; i < models_.size(); ++i) models_[i].delay = timetables_[i].delay.count();
  }

  std::vector<Entry> entries() {
    std::vector<Entry> list;
    for (std::size_t i = 0; i < records_.size(); ++i) list.push_back({records_[i], &timetables_[i]});
    return list;
  }

  void pause() {
    const auto i = static_cast<std::size_t>(random_.pick(0, static_cast<Time>(models_.size()) - 1));
    Model& model = models_[i];
    if (!model.paused) {
      ledger_.pause(records_[i], &timetables_[i], "", instant(now_));
      model.settle_as(SlotOutcome::missed, now_ - model.delay);
    } else {
      ledger_.resume(records_[i], &timetables_[i], instant(now_));
      model.settle_as(SlotOutcome::paused, now_ - model.delay);
    }
    model.paused = !model.paused;
  }

  void edit(bool times) {
    const auto i = static_cast<std::size_t>(random_.pick(0, static_cast<Time>(models_.size()) - 1));
    Model& model = models_[i];
    model.policy = random_policy(random_);
    const Times other = random_.of(all_times);
    if (times && other.text != model.times.text) {
      model.begin_anew(now_);
      model.settle_as(SlotOutcome::superseded, now_);
      model.forget(now_);
      model.times = other;
      model.cursor = model.since = now_;
    }
    adopt();
  }

  void refuse() {
    ledger_.refuse(entries(), instant(now_), "unreadable");
    for (Model& model : models_) {
      model.begin_anew(now_);
      model.settle_as(SlotOutcome::rejected, now_ - model.delay);
    }
  }

  void settle() {
    struct Wanted {
      std::size_t entry;
      Time at;
      bool in_turn;
    };
    std::vector<Wanted> wanted;
    for (std::size_t i = 0; i < models_.size(); ++i) {
      Model& model = models_[i];
      if (model.begin_anew(now_)) continue;
      if (model.paused) {
        model.settle_as(SlotOutcome::paused, now_ - model.delay);
        continue;
      }
      const std::vector<Time> run = model.decide(now_);
      for (const Time at : run)
        wanted.push_back({i, at, model.policy.catchup == Catchup::all && run.size() > 1});
    }
    std::ranges::stable_sort(wanted, {}, &Wanted::at);
    std::size_t open = 0;
    for (const Model& model : models_)
      open += static_cast<std::size_t>(std::ranges::count_if(
          model.claimed, [](const auto& s) { return s.second == SlotOutcome::claimed; }));
    std::vector<std::pair<std::size_t, Time>> expected;
    for (const Wanted& slot : wanted) {
      Model& model = models_[slot.entry];
      if (model.claimed.contains(slot.at)) continue;
      const Overlap overlap = slot.in_turn ? Overlap::queue : model.policy.overlap;
      if ((overlap == Overlap::skip && !expected.empty()) ||
          (overlap == Overlap::queue && open >= longest_queue)) {
        model.add_one(slot.at, SlotOutcome::skipped);
        continue;
      }
      ++open;
      model.claimed[slot.at] = SlotOutcome::claimed;
      expected.emplace_back(slot.entry, slot.at);
    }
    run(ledger_.settle(entries(), instant(now_)), expected);

    // A daemon looks for claims of the dead each time.
    expected.clear();
    std::vector<std::pair<Time, std::size_t>> dead;
    for (std::size_t i = 0; i < models_.size(); ++i)
      for (const auto& [at, outcome] : models_[i].claimed)
        if (outcome == SlotOutcome::claimed) dead.emplace_back(at, i);
    std::ranges::sort(dead);
    for (const auto& [at, i] : dead) {
      Model& model = models_[i];
      const Time late = now_ - model.delay - at;
      const bool later = std::ranges::any_of(model.claimed, [&](const auto& slot) {
        return slot.first > at && (slot.second == SlotOutcome::ran || slot.second == SlotOutcome::claimed);
      });
      if (model.paused) {
        model.claimed[at] = SlotOutcome::paused;
      } else if (model.policy.catchup == Catchup::last && later &&
                 !(model.policy.start_within > 0 && late > model.policy.start_within)) {
        model.claimed[at] = SlotOutcome::coalesced;
      } else if ((model.policy.catchup == Catchup::none && late > 60) ||
                 (model.policy.start_within > 0 && late > model.policy.start_within)) {
        model.claimed[at] = SlotOutcome::missed;
      } else {
        expected.emplace_back(i, at);
      }
    }
    run(ledger_.recover(entries(), instant(now_)), expected);
  }

  // The claims are those that are expected, in this order. Most run; the others die before they do.
  void run(const std::vector<Claimed>& claims, const std::vector<std::pair<std::size_t, Time>>& expected) {
    std::string ours, theirs;
    for (const Claimed& claim : claims) ours += std::to_string(claim.schedule) + " " + claim.local + "; ";
    for (const auto& [i, at] : expected)
      theirs += std::to_string(records_[i].id) + " " + timetables_[i].text(instant(at)) + "; ";
    REQUIRE(ours == theirs);
    db::Transaction transaction(database_);
    for (std::size_t k = 0; k < claims.size(); ++k) {
      REQUIRE(claims[k].claim.fence > fence_);
      fence_ = claims[k].claim.fence;
      if (random_.one_in(6)) continue;
      const auto& [i, at] = expected[k];
      REQUIRE(db::start_slot(database_.connection(), claims[k].claim.fence, claims[k].claim.run_id,
                             Instant(instant(now_))));
      REQUIRE(ran_.insert({i, at}).second);  // never twice
      models_[i].claimed[at] = SlotOutcome::ran;
    }
    database_.connection().execute("UPDATE slots SET claimer = '' WHERE outcome = 'claimed'");
    transaction.commit();
  }

  Random& random_;
  Time now_;
  TempDir dir_;
  Workspace workspace_{Workspace::create(dir_.path())};
  db::Database database_{db::Database::open(workspace_.database_path())};
  Ledger ledger_{workspace_, database_};
  Pipeline pipeline_;
  pipeline::Zones zones_;
  std::vector<Timetable> timetables_;
  std::vector<ScheduleRecord> records_;
  std::vector<Model> models_;
  std::vector<Time> jitters_;
  std::set<std::pair<std::size_t, Time>> ran_;
  std::int64_t fence_ = 0;
};

}  // namespace

TEST_CASE("whatever the clock does, nothing runs twice and catch-up is exact", "[schedule]") {
  const char* jumps = std::getenv("MLOPS_CLOCK_JUMPS");
  const char* given = std::getenv("SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : 20261130;
  const int rounds = (jumps ? std::atoi(jumps) : 240) / 60;
  Random random(seed);
  for (int round = 0; round < rounds; ++round) {
    Trial trial(random, random.pick(1'700'000'000, 1'800'000'000));
    for (int i = 0; i < 60; ++i) {
      INFO("SEED=" << seed << ", round " << round << ", jump " << i);
      trial.step();
      if (random.one_in(15)) trial.compare();
    }
    INFO("SEED=" << seed << ", at the end of round " << round);
    trial.compare();
  }
}
