#include "run_world.hpp"

#include "engine/aftermath.hpp"
#include "engine/machine.hpp"
#include "plot.hpp"
#include "run_rules.hpp"

#include <algorithm>
#include <deque>
#include <optional>

namespace simulation {

using namespace mlops;
using namespace mlops::engine;
using Kind = AttemptOutcome::Kind;

namespace {

constexpr int most_parts = 6;

struct Crash {};  // of the runner

const char* words(Kind kind) {
  constexpr const char* list[] = {"succeeded", "exited",  "signalled",   "timeout",
                                  "no_output", "stopped", "not_started", "lost"};
  return list[static_cast<std::size_t>(kind)];
}

/// A line of the run's journal.
struct Line {
  int step = 0, attempt = 0;
  std::int64_t began = 0;
  std::optional<AttemptOutcome> end;
  bool heard = false;   // by the runner
  bool reboot = false;  // the machine went down while it ran
};

class World {
 public:
  World(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally)
      : random_(seed),
        wrong_(wrong),
        trace_(trace),
        tally_(tally),
        plot_(random_plot(random_)),
        mutant_(plot_) {
    const auto n = static_cast<std::size_t>(plot_.steps());
    histories_.resize(n);
    live_.resize(n);
    for (std::size_t i = 0; i < n; ++i) live_[i].step = static_cast<int>(i);
    recorded_ = live_;
    crash_percent_ = static_cast<int>(random_.of({0, 0, 1, 3}));
    spoil();
    trace_.note([&] { return describe(); });
  }

  void run() {
    entries_.resize(live_.size());
    for (const PlannedStep& planned : plot_.plan.steps) {
      if (!planned.selected)
        entries_[static_cast<std::size_t>(planned.step)] = {
            Entry::Kind::leave_out, 0, planned.reason, {}, {}};
    }
    for (int part = 1;; ++part) {
      ++tally_.parts;
      if (part == most_parts) crash_percent_ = 0;
      std::optional<RunState> end;
      try {
        end = live();
      } catch (const Crash&) {
        ++tally_.crashes;
        trace_.note([] { return std::string("the runner dies"); });
        end = recover();
      }
      if (*end == RunState::succeeded || part == most_parts || random_.percent(10)) break;
      resume();
    }
    for (std::size_t i = 0; i < histories_.size(); ++i) {
      if (histories_[i].successes > 1 && !plot_.step(static_cast<int>(i)).always)
        throw Violation("s" + std::to_string(i) + " succeeded more than once");
    }
  }

 private:
  // --- What is wrong on purpose: the machine is told of another pipeline than the rules ------------------
  void spoil() {
    if (wrong_ == Break::retries)
      for (Step& step : mutant_.pipeline.steps) step.retry.times += step.retry.times > 0;
    if (wrong_ == Break::limit) {
      ++mutant_.capacity.jobs;
      mutant_.capacity.cpus *= 2;
    }
    if (wrong_ == Break::order) {
      for (auto& needs : mutant_.graph.needs)
        if (!needs.empty()) needs.pop_back();
      complete(mutant_.graph);
    }
  }

  // --- A part of the run -----------------------------------------------------------------------------
  RunState live() {
    ++now_;
    part_start_ = now_;
    const auto count = static_cast<std::size_t>(plot_.steps());
    rules_.emplace(plot_, histories_);
    for (std::size_t i = 0; i < count; ++i)
      if (entries_[i].kind == Entry::Kind::done) rules_->enters_done(static_cast<int>(i), entries_[i].state);
    questions_.clear();
    orders_.clear();
    known_.clear();
    cancelled_ = killed_ = false;
    MachineOptions options{mutant_.capacity, plot_.keep_going, random_.bits(), {}};
    if (std::ranges::find(plot_.checks, 1) != plot_.checks.end()) options.checks = plot_.checks;
    machine_.emplace(mutant_.pipeline, mutant_.graph, entries_, std::move(options));
    machine_->begin();
    perform();
    // Each event brings the run nearer to its end, but for retries, which are counted.
    for (int events = 0; !machine_->finished(); ++events) {
      if (events > 5'000) throw Violation("the run comes to no end");
      ++tally_.events;
      if (random_.percent(crash_percent_)) throw Crash();
      one_event();
      perform_all();
      machine_->tick(now_);  // as its loop does after whatever it was that happened
      perform();
    }
    if (random_.percent(crash_percent_)) throw Crash();
    flush();
    if (random_.percent(crash_percent_)) throw Crash();
    rules_->over(wrong_ == Break::end ? machine_->first_failure() < 0 : machine_->first_failure() >= 0);
    if (machine_->cancelled() != cancelled_)
      throw Violation("whether the run was cancelled is not what happened");
    return cancelled_                       ? RunState::cancelled
           : machine_->first_failure() >= 0 ? RunState::failed
                                            : RunState::succeeded;
  }

  void one_event() {
    now_ += random_.pick(0, 40);
    const auto running = std::ranges::count_if(journal_, [](const Line& line) { return !line.end; });
    std::size_t unheard = 0;
    for (const Line& line : journal_) unheard += line.end && !line.heard;
    const bool timer = machine_->next_tick_ms() != INT64_MAX;
    const std::size_t work = orders_.size() + static_cast<std::size_t>(running) + unheard + questions_.size();
    if (work == 0 && !timer) throw Violation("nothing is left that could happen, and the run is not over");
    const std::int64_t chance = random_.pick(0, 199);
    if (chance == 0) return cancel();
    if (chance == 1) return kill();
    if (chance == 2 && running > 0) return keeper_dies();
    if (chance < 40) return flush();
    std::size_t which = random_.below(work + timer);
    if (timer && which == work) {
      if (machine_->next_tick_ms() > now_ && (work == 0 || random_.percent(30)))
        now_ = machine_->next_tick_ms();
      return;
    }
    if (which < orders_.size()) return take_order();
    which -= orders_.size();
    if (which < static_cast<std::size_t>(running)) return end_some(which);
    which -= static_cast<std::size_t>(running);
    if (which < unheard) return hear_some(which);
    answer(which - unheard);
  }

  // --- Actions ---------------------------------------------------------------------------------------
  void perform() {
    perform_all();
    rules_->rest(now_, machine_->finished());
  }
  void perform_all() {
    for (auto actions = machine_->take_actions(); !actions.empty(); actions = machine_->take_actions()) {
      if (wrong_ == Break::twice && random_.percent(5)) {
        const Action last = actions.back();
        if (std::holds_alternative<StartAttempt>(last)) actions.push_back(last);
      }
      for (const Action& action : actions) {
        trace_.note([&] { return "  " + text_of(action); });
        rules_->act(action, now_);
      }
      for (const Action& action : actions) {
        if (random_.percent(crash_percent_)) throw Crash();
        std::visit([this](const auto& a) { perform(a); }, action);
      }
    }
  }
  void perform(const Check& a) { ask(a.step, a); }
  void perform(const Evaluate& a) { ask(a.step, a); }
  void perform(const Collect& a) { ask(a.step, a); }
  void perform(const StartAttempt& a) {
    ++tally_.starts;
    StepRecord& r = record(a.step);
    r.state = StepState::running;
    r.attempts = a.attempt;
    known_.push_back(a);
    if (random_.percent(2)) {  // an input is not there
      drop(a.step);
      const AttemptOutcome outcome{Kind::not_started, 0, "no input", true};
      trace_.note([&] { return "cannot start " + plot_.step(a.step).name; });
      rules_->ended(a.step, outcome, now_);
      machine_->attempt_ended(a.step, outcome, now_);
      return;
    }
    orders_.push_back(a);
  }
  void perform(const StopAttempt& a) { stopped_.push_back({a.step, a.attempt}); }
  void perform(const WaitForRetry& a) { record(a.step).state = StepState::retrying; }
  void perform(const Settle& a) {
    record(a.step).state = a.state;
    record(a.step).reason = a.reason;
  }

  void ask(int, const Action& question) {
    questions_.push_back(question);
    if (random_.percent(50)) answer(questions_.size() - 1);  // some are answered at once
  }

  // --- Events ----------------------------------------------------------------------------------------
  void answer(std::size_t which) {
    const Action question = questions_[which];
    questions_.erase(questions_.begin() + static_cast<std::ptrdiff_t>(which));
    // One that another answer has just ended has no use for its own.
    const int asked = std::visit([](const auto& a) { return a.step; }, question);
    const StepState state = machine_->state(asked);
    if (state != StepState::pending && state != StepState::running) return;
    if (const auto* check = std::get_if<Check>(&question)) {
      const bool hit = random_.percent(30);
      trace_.note([&] { return plot_.step(check->step).name + (hit ? " has its results" : " has to run"); });
      rules_->checked(check->step, hit);
      machine_->checked(check->step, hit, hit ? "as before" : "");
    } else if (const auto* evaluate = std::get_if<Evaluate>(&question)) {
      const std::int64_t verdict = random_.pick(0, 9);
      trace_.note(
          [&] { return "condition of " + plot_.step(evaluate->step).name + ": " + std::to_string(verdict); });
      if (verdict == 0) {
        rules_->condition_failed(evaluate->step);
        machine_->condition_failed(evaluate->step, "no such metric");
      } else {
        rules_->condition(evaluate->step, verdict > 3);
        machine_->condition_known(evaluate->step, verdict > 3, "it does not hold");
      }
    } else {
      const auto& collect = std::get<Collect>(question);
      const bool good = outputs_are_good(collect.step, collect.attempt);
      trace_.note([&] {
        return "outputs of " + plot_.step(collect.step).name + (good ? " are there" : " are wanting");
      });
      rules_->collected(collect.step, good);
      machine_->collected(collect.step, good ? "" : "an output is missing");
    }
  }

  // The same whoever looks, and when.
  bool outputs_are_good(int step, int attempt) const {
    return (static_cast<unsigned>(step) * 31 + static_cast<unsigned>(attempt) * 17) % 13 != 0;
  }

  // The keeper writes the line, and then starts it.
  void take_order() {
    const StartAttempt order = orders_.front();
    orders_.pop_front();
    for (const Line& line : journal_) {
      if (line.step == order.step && !line.end)
        throw Violation(plot_.step(order.step).name + " ran twice at once");
    }
    journal_.push_back({order.step, order.attempt, now_, {}, false, false});
    trace_.note([&] { return "the keeper starts " + plot_.step(order.step).name; });
  }

  AttemptOutcome random_outcome(int step, int attempt) {
    if (std::ranges::find(stopped_, std::pair(step, attempt)) != stopped_.end() && random_.percent(80))
      return {Kind::stopped, 0, "was told to stop"};
    switch (random_.pick(0, 19)) {
      case 0: return {Kind::exited, 75, "exit code 75"};
      case 1: return {Kind::exited, 1, "exit code 1"};
      case 2: return {Kind::signalled, 139, "killed by SIGSEGV"};
      case 3: return {Kind::timeout, 0, "timed out"};
      case 4: return {Kind::no_output, 0, "wrote nothing"};
      case 5: return {Kind::not_started, 0, "could not start"};
      default: return {Kind::succeeded, 0, ""};
    }
  }

  void end_line(Line& line) {
    line.end = random_outcome(line.step, line.attempt);
    trace_.note([&] {
      return plot_.step(line.step).name + " attempt " + std::to_string(line.attempt) +
             " ends: " + words(line.end->kind);
    });
  }

  void end_some(std::size_t which) {
    for (Line& line : journal_) {
      if (!line.end && which-- == 0) return end_line(line);
    }
  }

  void hear_some(std::size_t which) {
    for (Line& line : journal_) {
      if (line.end && !line.heard && which-- == 0) return hear(line.step, *line.end, &line);
    }
  }

  void hear(int step, const AttemptOutcome& outcome, Line* line) {
    if (line) line->heard = true;
    drop(step);
    trace_.note([&] { return "the runner hears of " + plot_.step(step).name + ": " + words(outcome.kind); });
    rules_->ended(step, outcome, now_);
    machine_->attempt_ended(step, outcome, now_);
  }

  void drop(int step) {
    std::erase_if(known_, [&](const StartAttempt& a) { return a.step == step; });
  }

  // What had been written to its journal is known; all others are lost, also those it had not begun.
  void keeper_dies() {
    trace_.note([] { return std::string("the keeper dies"); });
    orders_.clear();
    const std::vector<StartAttempt> running = known_;
    for (const StartAttempt& a : running) {
      Line* line = nullptr;
      for (Line& each : journal_)
        if (each.step == a.step && each.attempt == a.attempt) line = &each;
      const bool seen = line && line->end;
      hear(a.step, seen ? *line->end : AttemptOutcome{Kind::lost, 0, "lost"}, seen ? line : nullptr);
      // Nobody runs any more; there is no line for its end.
      if (line && !line->end) lost_.push_back(*line);
    }
    std::erase_if(journal_, [](const Line& line) { return !line.end; });
  }

  void cancel() {
    trace_.note([] { return std::string("cancel"); });
    cancelled_ = true;
    rules_->cancelled();
    machine_->cancel("cancelled by SIGTERM");
  }
  void kill() {
    trace_.note([] { return std::string("kill"); });
    cancelled_ = killed_ = true;
    rules_->killed();
    machine_->kill("cancelled by SIGQUIT");
  }

  void flush() { recorded_ = live_; }

  // --- After the death of the runner -----------------------------------------------------------------
  RunState recover() {
    // What it had asked for may have reached the keeper or not, in its order.
    for (std::int64_t n = random_.pick(0, static_cast<std::int64_t>(orders_.size())); n > 0; --n)
      take_order();
    orders_.clear();
    const std::int64_t fate = random_.pick(0, 9);
    bool told = false;
    for (Line& line : journal_) {
      if (line.end) continue;
      if (fate == 0) {
        lost_.push_back(line);
      } else if (fate == 1) {
        line.reboot = true;
        lost_.push_back(line);
      } else {
        if (fate == 2) stopped_.push_back({line.step, line.attempt});
        end_line(line);
      }
    }
    std::erase_if(journal_, [](const Line& line) { return !line.end; });
    for (Line& line : journal_) line.heard = true;
    live_ = recorded_;
    const std::vector<StepRecord> before = recorded_;
    const RunState end = judge(told);
    check_recovered(before, end, told);
    flush();
    return end;
  }

  struct Last {
    const Line* line = nullptr;
    int tries = 0;
  };
  std::vector<Last> last_lines() const {
    std::vector<Last> last(live_.size());
    for (const std::vector<Line>* lines : {&journal_, &lost_}) {
      for (const Line& line : *lines) {
        Last& of = last[static_cast<std::size_t>(line.step)];
        of.tries += line.began >= part_start_;
        if (!of.line || of.line->attempt < line.attempt) of.line = &line;
      }
    }
    return last;
  }

  // As engine/recovery.cpp does it.
  RunState judge(bool& told) {
    std::size_t unread = 0;
    std::optional<FailureVerdict> failure;
    const std::vector<Last> last = last_lines();
    std::vector<char> tolerated;
    for (StepRecord& r : live_) {
      const Step& s = plot_.step(r.step);
      const Last& known = last[static_cast<std::size_t>(r.step)];
      tolerated.push_back(s.continue_on_failure);
      switch (witness(r, known.line ? known.line->attempt : 0, known.tries)) {
        case Witness::record: continue;
        case Witness::nobody: r.state = StepState::pending; continue;
        case Witness::journal: break;
      }
      const Line& line = *known.line;
      r.attempts = std::max(r.attempts, line.attempt);
      if (!line.end) {
        r.state = wrong_ == Break::lost ? StepState::succeeded
                  : line.reboot         ? StepState::interrupted
                                        : StepState::lost;
        continue;
      }
      const std::string problem = outputs_are_good(r.step, line.attempt) ? "" : "an output is missing";
      Judgement j = judge_step(s, r.state, known.tries, *line.end, problem);
      told = told || line.end->kind == Kind::stopped;
      r.state = j.state;
      r.reason = std::move(j.reason);
      unread += r.state == StepState::succeeded && plot_.makes_results[static_cast<std::size_t>(r.step)];
      if (r.state == StepState::failed && !s.continue_on_failure && !failure)
        failure = FailureVerdict{ExitCode::step_failed, "a step failed"};
    }
    return ending_of(live_, {tolerated, told, unread, failure, "", "its runner died"}).state;
  }

  void check_recovered(const std::vector<StepRecord>& before, RunState end, bool told) {
    const std::vector<Last> last = last_lines();
    bool all_good = true, all_decided = true, bad = false;
    for (std::size_t i = 0; i < live_.size(); ++i) {
      const StepRecord& r = live_[i];
      const Step& s = plot_.step(r.step);
      const Line* line = last[i].line;
      trace_.note([&] {
        return "  recovered " + s.name + ": " + to_string(before[i].state) + " -> " + to_string(r.state);
      });
      const auto is_good = [](StepState state) {
        return state == StepState::succeeded || state == StepState::cached || state == StepState::skipped;
      };
      if (is_good(before[i].state) && r.state != before[i].state)
        wrong(r, "was on record as done, and is not any more");
      // Of its last attempt in this part of the run nothing is known but what is on record.
      const bool began = last[i].tries > 0 && line && line->attempt >= before[i].attempts;
      const bool open = before[i].state == StepState::pending || before[i].state == StepState::running ||
                        before[i].state == StepState::retrying;
      if (!began && (open ? r.state != StepState::pending : r.state != before[i].state))
        wrong(r, "never began, and is not what was on record");
      if (r.state == StepState::running || r.state == StepState::retrying)
        wrong(r, "is running in a run that is dead");
      const bool well =
          line && line->end && line->end->kind == Kind::succeeded && outputs_are_good(r.step, line->attempt);
      if (began && well && r.state != StepState::succeeded && before[i].state != StepState::failed)
        wrong(r, "ended well, which is lost");
      if (!is_good(before[i].state) && r.state == StepState::succeeded && !(began && well))
        wrong(r, "is a success that nobody saw");
      if (r.state == StepState::succeeded && !is_good(before[i].state)) histories_[i].succeed(r.attempts);
      const bool tolerated = r.state == StepState::failed && s.continue_on_failure;
      all_good = all_good && (is_good(r.state) || tolerated);
      all_decided = all_decided && (is_good(r.state) || r.state == StepState::failed);
      bad = bad || (r.state == StepState::failed && !tolerated);
    }
    trace_.note([&] { return std::string("the run is ") + to_string(end); });
    if (end == RunState::succeeded && !all_good)
      throw Violation("a run was recovered as succeeded, and not all of its steps are done");
    if (end == RunState::failed && !(bad && all_decided))
      throw Violation("a run was recovered as failed whose steps do not say so");
    if (end == RunState::cancelled && !told)
      throw Violation("a run was recovered as cancelled, and nobody told it to stop");
    if (end == RunState::interrupted && bad && all_decided && !told)
      throw Violation("a run that failed was recovered as interrupted");
  }
  [[noreturn]] void wrong(const StepRecord& r, const char* what) const {
    throw Violation(plot_.step(r.step).name + " (" + to_string(r.state) + "): " + what);
  }

  // As engine/run.cpp does it.
  void resume() {
    std::vector<AttemptRecord> attempts;
    for (const std::vector<Line>* lines : {&journal_, &lost_}) {
      for (const Line& line : *lines) {
        const Kind kind = line.end ? line.end->kind : Kind::lost;
        const bool exited = kind == Kind::exited || kind == Kind::succeeded;
        AttemptRecord a;
        a.step = line.step;
        a.attempt = line.attempt;
        a.cause = line.reboot ? "interrupted" : exited || kind == Kind::signalled ? "exited" : words(kind);
        if (exited) a.exit_code = line.end->code;
        a.started_at = Instant(Milliseconds(line.began));
        attempts.push_back(std::move(a));
      }
    }
    std::ranges::stable_sort(attempts, {},
                             [](const AttemptRecord& a) { return std::pair(a.step, a.attempt); });
    for (const PlannedStep& planned : plot_.plan.steps) {
      const auto i = static_cast<std::size_t>(planned.step);
      const Step& s = plot_.step(planned.step);
      StepRecord& r = live_[i];
      entries_[i] = entry_on_resume(s, planned, r, attempts, Instant(Milliseconds(part_start_)));
      if (wrong_ == Break::twice && entries_[i].kind == Entry::Kind::done)
        entries_[i] = {Entry::Kind::run, r.attempts, "", {}, {}};
      const bool success = r.state == StepState::succeeded || r.state == StepState::cached;
      if (entries_[i].kind == Entry::Kind::done && (s.always || !(success || r.state == StepState::failed)))
        wrong(r, "is not to run again, though it is not done");
      if (entries_[i].kind == Entry::Kind::run && success && !s.always) wrong(r, "is to run again");
      if (entries_[i].attempts != r.attempts || r.attempts > histories_[i].attempts)
        wrong(r, "has another number of attempts");
      // An attempt that never began has a number all the same, or not.
      histories_[i].attempts = r.attempts;
      if (r.state != StepState::succeeded) histories_[i].done = false;
      if (entries_[i].kind == Entry::Kind::run) {
        r.state = StepState::pending;
        r.reason.clear();
      }
    }
    stopped_.clear();
    flush();
  }

  // --- Words -----------------------------------------------------------------------------------------
  std::string describe() const {
    std::string text = std::to_string(plot_.steps()) + " steps, " + std::to_string(plot_.capacity.jobs) +
                       " at a time" + (plot_.keep_going ? ", keep going" : "");
    for (int i = 0; i < plot_.steps(); ++i) {
      const Step& s = plot_.step(i);
      text += "\n  " + s.name + ":";
      for (const int need : plot_.needs(i)) text += " " + plot_.step(need).name;
      if (s.retry.times > 0) text += " retry " + std::to_string(s.retry.times);
      if (!s.when.empty()) text += " when";
      if (s.continue_on_failure) text += " continue";
      if (s.always) text += " always";
      if (!plot_.selected[static_cast<std::size_t>(i)]) text += " left-out";
      if (plot_.checks[static_cast<std::size_t>(i)]) text += " checked";
      if (s.resources.cpus > 0) text += " cpus " + std::to_string(s.resources.cpus);
    }
    return text;
  }
  std::string text_of(const Action& action) const {
    const auto name = [&](int step) { return plot_.step(step).name; };
    if (const auto* a = std::get_if<Check>(&action)) return "check " + name(a->step);
    if (const auto* a = std::get_if<Evaluate>(&action)) return "evaluate " + name(a->step);
    if (const auto* a = std::get_if<StartAttempt>(&action))
      return "start " + name(a->step) + " attempt " + std::to_string(a->attempt);
    if (const auto* a = std::get_if<StopAttempt>(&action)) return "stop " + name(a->step);
    if (const auto* a = std::get_if<Collect>(&action)) return "collect " + name(a->step);
    if (const auto* a = std::get_if<WaitForRetry>(&action))
      return name(a->step) + " waits until " + std::to_string(a->until_ms);
    const auto& a = std::get<Settle>(action);
    return "settle " + name(a.step) + " " + to_string(a.state) + (a.reason.empty() ? "" : ": " + a.reason);
  }

  StepRecord& record(int step) { return live_[static_cast<std::size_t>(step)]; }

  Random random_;
  const Break wrong_;
  Trace& trace_;
  Tally& tally_;
  const Plot plot_;
  Plot mutant_;  // what the machine sees
  int crash_percent_ = 0;
  std::int64_t now_ = 1'000'000, part_start_ = 0;
  std::vector<History> histories_;
  std::vector<StepRecord> live_, recorded_;  // what the runner knows, and the database
  std::vector<Entry> entries_;
  std::optional<RunRules> rules_;
  std::optional<Machine> machine_;
  std::vector<Action> questions_;
  std::deque<StartAttempt> orders_;  // sent to the keeper, not yet read
  std::vector<StartAttempt> known_;  // of which the runner waits for an end
  std::vector<Line> journal_;
  std::vector<Line> lost_;  // began, and nobody saw the end
  std::vector<std::pair<int, int>> stopped_;
  bool cancelled_ = false, killed_ = false;
};

}  // namespace

void simulate_run(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally) {
  World(seed, wrong, trace, tally).run();
}

}  // namespace simulation
