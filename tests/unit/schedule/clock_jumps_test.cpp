// The ledger on a clock that jumps: random policies, pauses, edits, unreadable files and deaths, beside a
// model that knows slots as numbers only. $MLOPS_CLOCK_JUMPS sets how many jumps there are, $SEED repeats
// them.
#include "catch.hpp"
#include "db/slots.hpp"
#include "schedule/clock_model.hpp"
#include "schedule/ledger.hpp"
#include "temp_dir.hpp"

#include <cstdlib>
#include <set>

using namespace mlops;
using namespace mlops::schedule;
using namespace clock_model;
using std::chrono::seconds;

namespace {

sys_seconds instant(Time at) { return sys_seconds(seconds(at)); }
Time number(sys_seconds at) { return at.time_since_epoch().count(); }

/// A workspace with one pipeline of some entries, and what is expected of each.
class Trial {
 public:
  Trial(Random& random, Time begin) : random_(random), begin_(begin), now_(begin) {
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
        rows.push_back({number(slot.at), number(slot.until), slot.slots, slot.outcome,
                        number(std::chrono::floor<seconds>(slot.decided_at))});
      for (const auto& [at, claim] : model.claimed)
        expected.push_back({at, at, 1, claim.outcome, claim.decided});
      for (const Model::Stretch& s : model.stretches) {
        if (s.shared)
          expected.push_back({s.first, s.last, (s.last - s.first) / s.step + 1, s.outcome, s.decided});
        for (Time at = s.first; !s.shared && at <= s.last; at += s.step)
          expected.push_back({at, at, 1, s.outcome, s.decided});
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
      REQUIRE(number(record->since) == model.since);
    }
  }

 private:
  struct Row {
    Time first, last, slots;
    SlotOutcome outcome;
    Time decided;
    bool operator==(const Row&) const = default;
  };
  static std::string words(const std::vector<Row>& rows, std::size_t k) {
    if (k >= rows.size()) return "none";
    return std::to_string(rows[k].first) + ".." + std::to_string(rows[k].last) + " x" +
           std::to_string(rows[k].slots) + " " + to_string(rows[k].outcome) + " at " +
           std::to_string(rows[k].decided);
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
      model.settle_as(SlotOutcome::missed, now_ - model.delay, now_);
    } else {
      ledger_.resume(records_[i], &timetables_[i], instant(now_));
      model.settle_as(SlotOutcome::paused, now_ - model.delay, now_);
    }
    model.paused = !model.paused;
  }

  void edit(bool times) {
    const auto i = static_cast<std::size_t>(random_.pick(0, static_cast<Time>(models_.size()) - 1));
    Model& model = models_[i];
    model.policy = random_policy(random_);
    const Times other = random_.of(all_times);
    if (times && other.text != model.times.text) {
      const Time decided = std::max(model.cursor, model.last_slot());
      model.begin_anew(now_);
      model.settle_as(SlotOutcome::superseded, now_, now_);
      model.times = other;
      model.cursor = now_;
      model.since = std::max({model.since, now_, decided});
    }
    adopt();
  }

  void refuse() {
    ledger_.refuse(entries(), instant(now_), "unreadable");
    for (Model& model : models_) {
      model.begin_anew(now_);
      model.settle_as(SlotOutcome::rejected, now_ - model.delay, now_);
    }
  }

  void settle() {
    // As a daemon does it: what waits in queues has its turn before what is due, the other dead after.
    recover(true);
    settle_due();
    recover(false);
  }

  void settle_due() {
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
        model.settle_as(SlotOutcome::paused, now_ - model.delay, now_);
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
          model.claimed, [](const auto& s) { return s.second.outcome == SlotOutcome::claimed; }));
    std::vector<std::pair<std::size_t, Time>> expected;
    for (const Wanted& slot : wanted) {
      Model& model = models_[slot.entry];
      if (model.has_row(slot.at)) continue;
      const Overlap overlap = slot.in_turn ? Overlap::queue : model.policy.overlap;
      if ((overlap == Overlap::skip && !expected.empty()) ||
          (overlap == Overlap::queue && open >= longest_queue)) {
        model.add_one(slot.at, SlotOutcome::skipped, now_);
        continue;
      }
      ++open;
      model.claimed[slot.at] = {SlotOutcome::claimed, now_};
      expected.emplace_back(slot.entry, slot.at);
    }
    run(ledger_.settle(entries(), instant(now_)), expected);
  }

  void recover(bool queued) {
    std::vector<Entry> looked_at;
    std::vector<std::pair<Time, std::size_t>> dead;
    for (std::size_t i = 0; i < models_.size(); ++i) {
      if (models_[i].waits_on() != queued) continue;
      looked_at.push_back(entries()[i]);
      for (const auto& [at, claim] : models_[i].claimed)
        if (claim.outcome == SlotOutcome::claimed) dead.emplace_back(at, i);
    }
    std::ranges::sort(dead);
    std::vector<std::pair<std::size_t, Time>> expected;
    for (const auto& [at, i] : dead) {
      Model& model = models_[i];
      const Time late = now_ - model.delay - at;
      Model::Claim& claim = model.claimed[at];
      claim.decided = now_;
      claim.outcome = model.after_death(at, late);
      if (claim.outcome == SlotOutcome::claimed) expected.emplace_back(i, at);
    }
    run(ledger_.recover(looked_at, instant(now_)), expected);
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
      // Nothing of before the schedule existed is made up for.
      REQUIRE((at > begin_ || now_ - models_[i].delay - at <= 60));
      REQUIRE(db::start_slot(database_.connection(), claims[k].claim.fence, claims[k].claim.run_id,
                             Instant(instant(now_))));
      REQUIRE(ran_.insert({i, at}).second);  // never twice
      models_[i].claimed[at] = {SlotOutcome::ran, now_};
    }
    database_.connection().execute("UPDATE slots SET claimer = '' WHERE outcome = 'claimed'");
    transaction.commit();
  }

  Random& random_;
  const Time begin_;
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
