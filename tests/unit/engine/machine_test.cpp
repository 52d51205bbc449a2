#include "engine/machine.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

using namespace mlops;
using namespace mlops::engine;
using Kind = AttemptOutcome::Kind;

namespace {

/// A pipeline by hand: names and, for each, what it needs.
struct Plot {
  Pipeline pipeline;
  Graph graph;

  int add(const std::string& name, std::vector<int> needs = {}) {
    Step step;
    step.name = step.base = name;
    pipeline.steps.push_back(step);
    const int index = static_cast<int>(pipeline.steps.size()) - 1;
    graph.feeds.emplace_back();
    for (const int need : needs) graph.feeds[static_cast<std::size_t>(need)].push_back(index);
    graph.needs.push_back(std::move(needs));
    graph.order.push_back(index);
    return index;
  }
  Step& operator[](int step) { return pipeline.steps[static_cast<std::size_t>(step)]; }
};

Capacity capacity(int jobs) {
  Capacity c;
  c.jobs = jobs;
  c.cpus = jobs;
  c.memory = 1000;
  return c;
}

Machine machine(const Plot& plot, int jobs = 2, bool keep_going = false, std::vector<Entry> entries = {}) {
  entries.resize(plot.pipeline.steps.size());
  return Machine(plot.pipeline, plot.graph, entries, {capacity(jobs), keep_going, 7, {}});
}

/// Collects the starts among the actions, and answers Collect at once.
std::vector<int> starts(Machine& m) {
  std::vector<int> list;
  for (auto actions = m.take_actions(); !actions.empty(); actions = m.take_actions()) {
    for (const Action& action : actions) {
      if (const auto* start = std::get_if<StartAttempt>(&action)) list.push_back(start->step);
      if (const auto* collect = std::get_if<Collect>(&action)) m.collected(collect->step, "");
    }
  }
  return list;
}

const AttemptOutcome good{Kind::succeeded, 0, ""};
const AttemptOutcome bad{Kind::exited, 3, "exit code 3"};

}  // namespace

TEST_CASE("steps start when what they need has succeeded, as many as there are slots") {
  Plot plot;
  const int a = plot.add("a"), b = plot.add("b"), c = plot.add("c"), d = plot.add("d", {a, b});
  Machine m = machine(plot, 2);
  m.begin();
  REQUIRE(starts(m) == std::vector<int>{a, b});
  m.attempt_ended(a, good, 0);
  REQUIRE(starts(m) == std::vector<int>{c});
  m.attempt_ended(b, good, 0);
  REQUIRE(starts(m) == std::vector<int>{d});
  m.attempt_ended(c, good, 0);
  m.attempt_ended(d, good, 0);
  starts(m);
  REQUIRE(m.finished());
  REQUIRE(m.first_failure() == -1);
}

TEST_CASE("a failed step stops its dependents and, without keep-going, everything that has not started") {
  Plot plot;
  const int a = plot.add("a"), b = plot.add("b", {a}), c = plot.add("c"), d = plot.add("d", {c});
  SECTION("stop") {
    Machine m = machine(plot, 2);
    m.begin();
    starts(m);
    m.attempt_ended(a, bad, 0);
    starts(m);
    REQUIRE(m.state(b) == StepState::not_run);
    REQUIRE_FALSE(m.finished());
    m.attempt_ended(c, good, 0);
    REQUIRE(starts(m).empty());
    REQUIRE(m.state(d) == StepState::not_run);
    REQUIRE(m.finished());
    REQUIRE(m.first_failure() == a);
  }
  SECTION("keep going") {
    Machine m = machine(plot, 2, true);
    m.begin();
    starts(m);
    m.attempt_ended(a, bad, 0);
    m.attempt_ended(c, good, 0);
    REQUIRE(starts(m) == std::vector<int>{d});
    REQUIRE(m.state(b) == StepState::not_run);
  }
  SECTION("on_failure: continue") {
    plot[a].continue_on_failure = true;
    Machine m = machine(plot, 1);
    m.begin();
    starts(m);
    m.attempt_ended(a, bad, 0);
    REQUIRE(starts(m) == std::vector<int>{b});
    REQUIRE(m.state(a) == StepState::failed);
    REQUIRE(m.first_failure() == -1);
  }
}

TEST_CASE("clean-up steps run however the steps they need ended, also after a cancel, but not after a kill") {
  Plot plot;
  const int a = plot.add("a"), b = plot.add("b", {a}), clean = plot.add("clean", {a, b});
  plot[clean].always = true;
  Machine m = machine(plot, 2);
  m.begin();
  starts(m);
  SECTION("failure") {
    m.attempt_ended(a, bad, 0);
    REQUIRE(starts(m) == std::vector<int>{clean});
  }
  SECTION("cancel") {
    m.cancel("cancelled by SIGINT");
    const auto actions = m.take_actions();
    REQUIRE(std::any_of(actions.begin(), actions.end(),
                        [](const Action& x) { return std::holds_alternative<StopAttempt>(x); }));
    m.attempt_ended(a, {Kind::stopped, 0, "was told to stop"}, 0);
    REQUIRE(starts(m) == std::vector<int>{clean});
    REQUIRE(m.state(a) == StepState::cancelled);
    m.attempt_ended(clean, good, 0);
    starts(m);
    REQUIRE(m.finished());
    REQUIRE(m.cancelled());
  }
  SECTION("kill") {
    m.kill();
    m.attempt_ended(a, {Kind::stopped, 0, ""}, 0);
    REQUIRE(starts(m).empty());
    REQUIRE(m.finished());
    REQUIRE(m.state(clean) == StepState::cancelled);
  }
}

TEST_CASE("a kill that no cancel came before begins no clean-up, only to kill it") {
  Plot plot;
  const int a = plot.add("a"), clean = plot.add("clean", {a});
  plot[a].when = "params.x";
  plot[clean].always = true;
  Machine m = machine(plot);
  m.begin();
  m.take_actions();
  m.kill("cancelled by SIGQUIT");
  REQUIRE(starts(m).empty());
  REQUIRE(m.finished());
  REQUIRE(m.state(clean) == StepState::cancelled);
}

TEST_CASE("what comes after a step that is left out is skipped when what that needs was skipped") {
  Plot plot;
  const int a = plot.add("a"), left_out = plot.add("left-out", {a}), b = plot.add("b", {left_out});
  plot[a].when = "params.x";
  std::vector<Entry> entries(3);
  entries[static_cast<std::size_t>(left_out)] = {Entry::Kind::leave_out, 0, "in --skip", {}, {}};
  Machine m = machine(plot, 2, false, entries);
  m.begin();
  m.take_actions();
  m.condition_known(a, false, "params.x is not true");
  REQUIRE(m.state(b) == StepState::skipped);
  REQUIRE(m.finished());
  REQUIRE(m.first_failure() == -1);
}

TEST_CASE("retries follow their count, delay, backoff, cap and filter") {
  Plot plot;
  const int a = plot.add("a");
  Retry& retry = plot[a].retry;
  retry.times = 2;
  retry.delay = Milliseconds(1000);
  retry.backoff = 3;
  Machine m = machine(plot);
  m.begin();
  REQUIRE(starts(m).size() == 1);
  m.attempt_ended(a, bad, 10'000);
  REQUIRE(starts(m).empty());
  REQUIRE(m.next_tick_ms() == 11'000);
  m.tick(10'999);
  REQUIRE(starts(m).empty());
  m.tick(11'000);
  REQUIRE(starts(m).size() == 1);
  m.attempt_ended(a, bad, 12'000);
  REQUIRE(m.next_tick_ms() == 15'000);
  m.tick(15'000);
  REQUIRE(starts(m).size() == 1);
  m.attempt_ended(a, bad, 16'000);
  starts(m);
  REQUIRE(m.state(a) == StepState::failed);

  REQUIRE(retry_delay_ms(retry, 3, 1) == 9000);
  retry.max_delay = Milliseconds(5000);
  REQUIRE(retry_delay_ms(retry, 3, 1) == 5000);
  retry.jitter = 0.5;
  REQUIRE(retry_delay_ms(retry, 3, 1) >= 5000);
  REQUIRE(retry_delay_ms(retry, 3, 1) <= 7500);
  REQUIRE(retry_delay_ms(retry, 3, 1) == retry_delay_ms(retry, 3, 1));
  REQUIRE(retry_delay_ms(retry, 1000, 1) <= 7500);

  retry.on = {{RetryCause::Kind::timeout, 0}, {RetryCause::Kind::exit_code, 75}};
  REQUIRE(is_retried(retry, {Kind::timeout, 0, ""}));
  REQUIRE(is_retried(retry, {Kind::exited, 75, ""}));
  REQUIRE_FALSE(is_retried(retry, {Kind::exited, 3, ""}));
  REQUIRE_FALSE(is_retried(retry, {Kind::lost, 0, ""}));
}

TEST_CASE("a condition that does not hold skips a step and what needs it") {
  Plot plot;
  const int a = plot.add("a"), b = plot.add("b", {a});
  plot[a].when = "params.x";
  Machine m = machine(plot);
  m.begin();
  REQUIRE(std::holds_alternative<Evaluate>(m.take_actions().at(0)));
  m.condition_known(a, false, "params.x is false");
  starts(m);
  REQUIRE(m.state(a) == StepState::skipped);
  REQUIRE(m.state(b) == StepState::skipped);
  REQUIRE(m.finished());
  REQUIRE(m.first_failure() == -1);
}

TEST_CASE("resources admit what fits, and a big step does not hold up small ones") {
  Plot plot;
  const int a = plot.add("a"), big = plot.add("big"), small = plot.add("small");
  plot[a].resources.memory = 600;
  plot[big].resources.memory = 900;
  plot[small].resources.memory = 100;
  Machine m = machine(plot, 3);
  m.begin();
  REQUIRE(starts(m) == std::vector<int>{a, small});
  m.attempt_ended(a, good, 0);
  REQUIRE(starts(m) == std::vector<int>{big});
}

TEST_CASE("gpus are handed out by id and come back") {
  Capacity c = capacity(4);
  c.gpus = {"0", "1", "7"};
  ResourceLedger ledger(c);
  Resources two;
  two.gpus = 2;
  const auto granted = ledger.take(two);
  REQUIRE(granted == std::vector<std::string>{"0", "1"});
  REQUIRE_FALSE(ledger.fits(two));
  ledger.give_back(two, granted);
  REQUIRE(ledger.fits(two));
  two.gpus = 4;
  REQUIRE_THAT(impossible(two, c), ContainsSubstring("4 gpus"));
}

TEST_CASE("steps done in an earlier part of a run are not started again") {
  Plot plot;
  const int a = plot.add("a"), b = plot.add("b", {a});
  std::vector<Entry> entries(2);
  entries[0] = {Entry::Kind::done, 1, "", StepState::succeeded, good};
  entries[1].attempts = 2;
  Machine m = machine(plot, 2, false, entries);
  m.begin();
  const auto actions = m.take_actions();
  REQUIRE(actions.size() == 1);
  REQUIRE(std::get<StartAttempt>(actions[0]).step == b);
  REQUIRE(std::get<StartAttempt>(actions[0]).attempt == 3);
}

// A simulation under a virtual clock: random graphs, limits, failures, cancels. MLOPS_SEEDS sets how many.
TEST_CASE("whatever happens, each step settles once, in order, within its limits") {
  const char* wish = std::getenv("MLOPS_SEEDS");
  const unsigned seeds = wish ? static_cast<unsigned>(std::atoi(wish)) : 3000;
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    const auto chance = [&](unsigned percent) { return random() % 100 < percent; };
    Plot plot;
    const int count = 1 + static_cast<int>(random() % 12);
    for (int i = 0; i < count; ++i) {
      std::vector<int> needs;
      for (int j = 0; j < i; ++j) {
        if (chance(25)) needs.push_back(j);
      }
      const int step = plot.add("s" + std::to_string(i), needs);
      plot[step].retry.times = static_cast<int>(random() % 3);
      plot[step].retry.delay = Milliseconds(random() % 500);
      plot[step].resources.memory = chance(30) ? random() % 1000 : 0;
      plot[step].always = chance(10);
      plot[step].continue_on_failure = chance(15);
      if (chance(15)) plot[step].when = "?";
    }
    const int jobs = 1 + static_cast<int>(random() % 4);
    Machine m = machine(plot, jobs, chance(50));
    std::map<int, int> running;  // step -> attempt
    std::map<int, int> started, settled;
    std::vector<char> good_end(static_cast<std::size_t>(count)), ended(static_cast<std::size_t>(count));
    std::int64_t now = 0;
    const auto perform = [&] {
      for (auto actions = m.take_actions(); !actions.empty(); actions = m.take_actions()) {
        for (const Action& action : actions) {
          if (const auto* e = std::get_if<Evaluate>(&action)) {
            if (chance(10)) {
              m.condition_failed(e->step, "cannot");
            } else {
              m.condition_known(e->step, chance(60), "false");
            }
          } else if (const auto* s = std::get_if<StartAttempt>(&action)) {
            REQUIRE(ended[static_cast<std::size_t>(s->step)] == 0);
            REQUIRE(running.emplace(s->step, s->attempt).second);
            REQUIRE(s->attempt == ++started[s->step]);
            REQUIRE(s->attempt <= plot[s->step].retry.times + 1);
            REQUIRE(static_cast<int>(running.size()) <= jobs);
            std::uint64_t memory = 0;
            for (const auto& [step, attempt] : running) memory += plot[step].resources.memory;
            REQUIRE(memory <= 1000);
            for (const int need : plot.graph.needs[static_cast<std::size_t>(s->step)]) {
              REQUIRE(ended[static_cast<std::size_t>(need)] == 1);
              if (!plot[s->step].always) REQUIRE(good_end[static_cast<std::size_t>(need)] == 1);
            }
          } else if (const auto* c = std::get_if<Collect>(&action)) {
            REQUIRE_FALSE(m.killed());  // nobody would answer
            m.collected(c->step, chance(5) ? "no output" : "");
          } else if (const auto* done = std::get_if<Settle>(&action)) {
            REQUIRE(++settled[done->step] == 1);
            const auto i = static_cast<std::size_t>(done->step);
            ended[i] = 1;
            good_end[i] = done->state == StepState::succeeded ||
                          (done->state == StepState::failed && plot[done->step].continue_on_failure);
          }
        }
      }
    };
    m.begin();
    perform();
    int rounds = 0;
    while (!m.finished()) {
      REQUIRE(++rounds < 1000);
      if (chance(2)) m.cancel("cancelled");
      if (chance(1)) m.kill();
      perform();
      if (!running.empty() && (chance(80) || m.next_tick_ms() == INT64_MAX)) {
        auto it = running.begin();
        std::advance(it, static_cast<long>(random() % running.size()));
        const int step = it->first;
        running.erase(it);
        constexpr Kind kinds[] = {Kind::succeeded, Kind::succeeded, Kind::succeeded,
                                  Kind::exited,    Kind::signalled, Kind::timeout,
                                  Kind::lost,      Kind::stopped,   Kind::not_started};
        m.attempt_ended(step, {kinds[random() % 9], 1, "words"}, now);
      } else if (m.next_tick_ms() != INT64_MAX) {
        now = std::max(now, m.next_tick_ms());
        m.tick(now);
      } else if (!m.finished()) {
        REQUIRE_FALSE(running.empty());  // otherwise it would wait for ever
      }
      perform();
    }
    REQUIRE(running.empty());
    for (int i = 0; i < count; ++i) REQUIRE(settled[i] == 1);
  }
}
