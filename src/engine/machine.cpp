#include "engine/machine.hpp"

#include <algorithm>
#include <cmath>

namespace mlops::engine {

namespace {

bool same(const Resources& a, const Resources& b) {
  return a.cpus == b.cpus && a.memory == b.memory && a.gpus == b.gpus && a.pools == b.pools;
}

// splitmix64: spreads a counter evenly; Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

bool is_retried(const Retry& retry, const AttemptOutcome& outcome) {
  using Kind = AttemptOutcome::Kind;
  if (outcome.final || outcome.kind == Kind::stopped || outcome.kind == Kind::succeeded) return false;
  if (retry.on.empty()) return true;
  return std::any_of(retry.on.begin(), retry.on.end(), [&](const RetryCause& cause) {
    switch (cause.kind) {
      case RetryCause::Kind::exit_code: return outcome.kind == Kind::exited && outcome.code == cause.code;
      case RetryCause::Kind::signal: return outcome.kind == Kind::signalled;
      case RetryCause::Kind::timeout: return outcome.kind == Kind::timeout;
      case RetryCause::Kind::no_output: return outcome.kind == Kind::no_output;
      case RetryCause::Kind::lost: return outcome.kind == Kind::lost;
    }
    return false;
  });
}

std::int64_t retry_delay_ms(const Retry& retry, int n, std::uint64_t key) {
  constexpr double week = 7.0 * 86'400'000;
  double delay = static_cast<double>(retry.delay.count()) * std::pow(std::max(retry.backoff, 0.0), n - 1);
  delay = std::min(delay, week);
  if (retry.max_delay.count() > 0) delay = std::min(delay, static_cast<double>(retry.max_delay.count()));
  const double share = static_cast<double>(mix(key) >> 11) / static_cast<double>(1ull << 53);
  return static_cast<std::int64_t>(delay * (1 + retry.jitter * share));
}

Machine::Machine(const Pipeline& pipeline, const Graph& graph, const std::vector<Entry>& entries,
                 MachineOptions options)
    : pipeline_(pipeline),
      graph_(graph),
      options_(std::move(options)),
      ledger_(options_.capacity),
      nodes_(pipeline.steps.size()),
      entries_(entries) {
  open_ = static_cast<int>(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& n = nodes_[i];
    n.open_needs = static_cast<int>(graph.needs[i].size());
    n.attempt = entries[i].attempts;
    const Resources& wish = pipeline.steps[i].resources;
    const auto it =
        std::find_if(classes_.begin(), classes_.end(), [&](const Resources& r) { return same(r, wish); });
    n.resource_class = static_cast<int>(it - classes_.begin());
    if (it == classes_.end()) classes_.push_back(wish);
  }
  ready_.resize(classes_.size());
}

void Machine::begin() {
  for (const int i : graph_.order) {
    const Entry& entry = entries_[static_cast<std::size_t>(i)];
    if (entry.kind == Entry::Kind::done) {
      // Its record is complete already: nothing to announce.
      node(i).phase = Phase::settled;
      node(i).state = entry.state;
      node(i).outcome = entry.outcome;
      --open_;
      just_settled_.push_back(i);
    } else if (node(i).open_needs == 0) {
      needs_are_met(i);
    }
  }
  propagate();
  start_what_fits();
}

bool Machine::satisfies(int step) const {
  const Node& n = nodes_[static_cast<std::size_t>(step)];
  if (n.state == StepState::succeeded || n.state == StepState::cached) return true;
  if (entries_[static_cast<std::size_t>(step)].kind == Entry::Kind::leave_out) return n.passes;
  return n.state == StepState::failed && step_of(step).continue_on_failure;
}

// Whether it is missing because of a condition.
bool Machine::is_skipped(int step) const {
  const Node& n = nodes_[static_cast<std::size_t>(step)];
  const bool left_out = entries_[static_cast<std::size_t>(step)].kind == Entry::Kind::leave_out;
  return left_out ? n.skips : n.state == StepState::skipped;
}

// All steps that `step` needs are settled: decide what becomes of it.
void Machine::needs_are_met(int step) {
  Node& n = node(step);
  if (n.phase != Phase::waiting) return;
  const auto& needs = graph_.needs[static_cast<std::size_t>(step)];
  if (entries_[static_cast<std::size_t>(step)].kind == Entry::Kind::leave_out) {
    const auto missing =
        std::find_if(needs.begin(), needs.end(), [this](int need) { return !satisfies(need); });
    n.passes = missing == needs.end();
    n.skips = !n.passes && is_skipped(*missing);
    return settle(step, StepState::skipped, entries_[static_cast<std::size_t>(step)].reason);
  }
  if (!step_of(step).always) {
    if (cancelled_) return settle(step, StepState::cancelled, stop_reason_);
    for (const int need : needs) {
      if (satisfies(need)) continue;
      const Node& other = node(need);
      if (entries_[static_cast<std::size_t>(need)].kind == Entry::Kind::leave_out) {
        return settle(step, other.skips ? StepState::skipped : StepState::not_run,
                      "comes after " + step_of(need).name + ", and what that needs " +
                          (other.skips ? "was skipped" : "did not succeed"));
      }
      const std::string what =
          other.state == StepState::not_run ? "was not run" : std::string("was ") + to_string(other.state);
      const std::string verb = other.state == StepState::failed ? "failed" : what;
      return settle(step, other.state == StepState::skipped ? StepState::skipped : StepState::not_run,
                    "needs " + step_of(need).name + ", which " + verb);
    }
    if (stopping_) return settle(step, StepState::not_run, stop_reason_);
  } else if (killed_) {
    return settle(step, StepState::cancelled, stop_reason_);
  }
  if (!step_of(step).when.empty()) {
    n.phase = Phase::evaluating;
    actions_.push_back(Evaluate{step});
    return;
  }
  make_ready(step);
}

void Machine::make_ready(int step) {
  Node& n = node(step);
  if (!options_.checks.empty() && options_.checks[static_cast<std::size_t>(step)] &&
      n.phase != Phase::checking) {
    n.phase = Phase::checking;
    actions_.push_back(Check{step});
    return;
  }
  n.phase = Phase::ready;
  ready_[static_cast<std::size_t>(n.resource_class)].insert(step);
}

void Machine::admit(int step) {
  if (stopping_ && !step_of(step).always) {
    settle(step, cancelled_ ? StepState::cancelled : StepState::not_run, stop_reason_);
    propagate();
  } else {
    make_ready(step);
  }
}

void Machine::checked(int step, bool hit, const std::string& words) {
  if (node(step).phase != Phase::checking) return;
  if (hit) {
    settle(step, StepState::cached, words);
    propagate();
  } else {
    admit(step);
  }
  start_what_fits();
}

void Machine::condition_known(int step, bool holds, const std::string& words) {
  Node& n = node(step);
  if (n.phase != Phase::evaluating) return;
  if (!holds) {
    settle(step, StepState::skipped, words);
    propagate();
  } else {
    admit(step);
  }
  start_what_fits();
}

void Machine::condition_failed(int step, const std::string& why) {
  if (node(step).phase != Phase::evaluating) return;
  node(step).outcome = {AttemptOutcome::Kind::not_started, 0, why};
  fail(step, StepState::failed, why);
  propagate();
  start_what_fits();
}

// The first ready step, in the file's order, of those whose resources are free; a big one does not hold up
// small ones behind it.
void Machine::start_what_fits() {
  while (ledger_.has_slot()) {
    int best = -1;
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      if (ready_[c].empty() || !ledger_.fits(classes_[c])) continue;
      if (best < 0 || *ready_[c].begin() < best) best = *ready_[c].begin();
    }
    if (best < 0) return;
    Node& n = node(best);
    ready_[static_cast<std::size_t>(n.resource_class)].erase(best);
    n.gpus = ledger_.take(step_of(best).resources);
    n.phase = Phase::running;
    n.state = StepState::running;
    ++n.attempt;
    ++n.tries;
    actions_.push_back(StartAttempt{best, n.attempt, n.gpus});
  }
}

void Machine::release(int step) {
  ledger_.give_back(step_of(step).resources, node(step).gpus);
  node(step).gpus.clear();
}

void Machine::attempt_ended(int step, const AttemptOutcome& outcome, std::int64_t now_ms) {
  Node& n = node(step);
  if (n.phase != Phase::running) return;
  n.outcome = outcome;
  // After a kill nobody takes stock any more.
  if (outcome.kind == AttemptOutcome::Kind::succeeded && !killed_) {
    n.phase = Phase::collecting;  // it keeps its resources until its outputs are safe
    actions_.push_back(Collect{step, n.attempt});
    return;
  }
  release(step);
  const Retry& retry = step_of(step).retry;
  const bool may_retry = !n.stop_asked && (!stopping_ || step_of(step).always) && !killed_;
  if (n.stop_asked || (outcome.kind == AttemptOutcome::Kind::stopped && cancelled_)) {
    settle(step, StepState::cancelled, stop_reason_);
  } else if (n.tries <= retry.times && is_retried(retry, outcome) && may_retry) {
    const std::uint64_t key = mix(options_.seed) ^ mix(static_cast<std::uint64_t>(step) << 20 |
                                                       static_cast<std::uint64_t>(n.attempt));
    n.retry_at = now_ms + retry_delay_ms(retry, n.tries, key);
    n.phase = Phase::retry_wait;
    n.state = StepState::retrying;
    retries_.insert({n.retry_at, step});
    actions_.push_back(WaitForRetry{step, n.attempt + 1, n.retry_at, outcome.words});
  } else {
    std::string words = outcome.words;
    if (n.tries > 1) words += ", after " + std::to_string(n.tries) + " attempts";
    fail(step, outcome.kind == AttemptOutcome::Kind::lost ? StepState::lost : StepState::failed, words);
  }
  propagate();
  tick(now_ms);
  start_what_fits();
}

void Machine::collected(int step, const std::string& problem) {
  Node& n = node(step);
  if (n.phase != Phase::collecting) return;
  release(step);
  if (problem.empty()) {
    settle(step, StepState::succeeded, "");
  } else {
    n.outcome = {AttemptOutcome::Kind::exited, 0, problem};
    fail(step, StepState::failed, problem);
  }
  propagate();
  start_what_fits();
}

void Machine::tick(std::int64_t now_ms) {
  while (!retries_.empty() && retries_.begin()->first <= now_ms) {
    const int step = retries_.begin()->second;
    retries_.erase(retries_.begin());
    Node& n = node(step);
    n.phase = Phase::ready;
    ready_[static_cast<std::size_t>(n.resource_class)].insert(step);
  }
  start_what_fits();
}

std::int64_t Machine::next_tick_ms() const { return retries_.empty() ? INT64_MAX : retries_.begin()->first; }

void Machine::settle(int step, StepState state, const std::string& reason) {
  Node& n = node(step);
  n.phase = Phase::settled;
  n.state = state;
  --open_;
  just_settled_.push_back(step);
  actions_.push_back(Settle{step, state, reason});
}

// Tells dependents of settled steps, one after the other instead of by recursion: chains are long.
void Machine::propagate() {
  while (!just_settled_.empty()) {
    const int step = just_settled_.back();
    just_settled_.pop_back();
    for (const int fed : graph_.feeds[static_cast<std::size_t>(step)]) {
      if (--node(fed).open_needs == 0) needs_are_met(fed);
    }
  }
}

void Machine::fail(int step, StepState state, const std::string& reason) {
  settle(step, state, reason);
  if (step_of(step).continue_on_failure && state == StepState::failed) return;
  if (first_failure_ < 0) first_failure_ = step;
  if (options_.keep_going || stopping_) return;
  stopping_ = true;
  stop_reason_ = "stopped after " + step_of(step).name + " failed";
  give_up_waiting(StepState::not_run, stop_reason_);
}

// Settles everything that has not started and is no clean-up.
void Machine::give_up_waiting(StepState state, const std::string& reason) {
  for (const int i : graph_.order) {
    Node& n = node(i);
    const bool left_out = entries_[static_cast<std::size_t>(i)].kind == Entry::Kind::leave_out;
    if (left_out && n.phase == Phase::waiting && cancelled_) {
      settle(i, StepState::skipped, entries_[static_cast<std::size_t>(i)].reason);
      continue;
    }
    if (step_of(i).always && !killed_) continue;
    if (n.phase == Phase::ready) ready_[static_cast<std::size_t>(n.resource_class)].erase(i);
    if (n.phase == Phase::retry_wait) {
      retries_.erase({n.retry_at, i});
      if (first_failure_ < 0 && !step_of(i).continue_on_failure) first_failure_ = i;
      settle(i, StepState::failed, n.outcome.words + "; not tried again: " + reason);
    } else if (n.phase == Phase::waiting || n.phase == Phase::ready || n.phase == Phase::evaluating ||
               n.phase == Phase::checking) {
      // Its needs will settle and tell it a better reason.
      if (n.phase == Phase::waiting && n.open_needs > 0 && !cancelled_) continue;
      settle(i, n.tries > 0 ? StepState::failed : state, reason);
    }
  }
}

void Machine::cancel(const std::string& why) {
  if (cancelled_) return;
  cancelled_ = true;
  stopping_ = true;
  stop_reason_ = why;
  for (const int i : graph_.order) {
    Node& n = node(i);
    if (n.phase == Phase::running && !step_of(i).always) {
      n.stop_asked = true;
      actions_.push_back(StopAttempt{i, n.attempt, false});
    }
  }
  give_up_waiting(StepState::cancelled, why);
  propagate();
  start_what_fits();
}

void Machine::kill(const std::string& why) {
  if (killed_) return;
  killed_ = true;  // first: no clean-up is to begin, only to be killed
  cancel(why);
  for (const int i : graph_.order) {
    Node& n = node(i);
    if (n.phase == Phase::running) {
      n.stop_asked = true;
      actions_.push_back(StopAttempt{i, n.attempt, true});
    } else if (n.phase == Phase::collecting) {
      // Taking stock of large outputs may take long: whoever kills does not want to wait for it.
      release(i);
      settle(i, StepState::cancelled, stop_reason_);
    }
  }
  give_up_waiting(StepState::cancelled, stop_reason_);
  propagate();
}

std::vector<Action> Machine::take_actions() { return std::exchange(actions_, {}); }

}  // namespace mlops::engine
