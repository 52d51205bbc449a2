#include "run_rules.hpp"

#include <algorithm>
#include <cmath>

namespace simulation {

using namespace mlops;
using namespace mlops::engine;
using Kind = AttemptOutcome::Kind;

RunRules::RunRules(const Plot& plot, std::vector<History>& histories)
    : plot_(plot), histories_(histories), nodes_(static_cast<std::size_t>(plot.steps())) {
  for (int i = 0; i < plot.steps(); ++i) at(i).left_out = !plot.selected[static_cast<std::size_t>(i)];
}

void RunRules::wrong(int step, const std::string& what) const {
  throw Violation(plot_.step(step).name + ": " + what);
}

void RunRules::enters_done(int step, State state) {
  at(step).end = state;
  at(step).entered_done = true;
}

// --- What the documentation says ----------------------------------------------------------------------

// What needs it may run, for all that it has to say.
bool RunRules::good(int step) const {
  const Node& node = at(step);
  if (!node.end) return false;
  if (*node.end == State::succeeded || *node.end == State::cached) return true;
  // It counts as done, but what it would have been made of has to be there.
  if (node.left_out) return needs_good(step);
  return *node.end == State::failed && plot_.step(step).continue_on_failure;
}

bool RunRules::needs_good(int step) const {
  return std::ranges::all_of(plot_.needs(step), [&](int need) { return good(need); });
}

bool RunRules::needs_ended(int step) const {
  return std::ranges::all_of(plot_.needs(step), [&](int need) { return at(need).end.has_value(); });
}

bool RunRules::skipped_above(int step) const {
  return std::ranges::any_of(plot_.needs(step), [&](int need) {
    return at(need).left_out ? skipped_above(need) : at(need).end == State::skipped;
  });
}

bool RunRules::failed_above(int step) const {
  return std::ranges::any_of(plot_.needs(step), [&](int need) {
    return !good(need) && (at(need).left_out ? failed_above(need) : at(need).end != State::skipped);
  });
}

// Whether it may begin as far as others are concerned.
bool RunRules::may_begin(int step) const {
  if (at(step).left_out || !needs_ended(step)) return false;
  if (plot_.step(step).always) return !killed_;
  return needs_good(step) && !cancelled_ && !failing_;
}

bool RunRules::retriable(int step) const {
  const Node& node = at(step);
  const Retry& retry = plot_.step(step).retry;
  if (!node.last || node.last->kind == Kind::succeeded || node.last->final ||
      node.last->kind == Kind::stopped)
    return false;
  if (node.tries > retry.times) return false;
  if (node.stop_asked || killed_ || ((cancelled_ || failing_) && !plot_.step(step).always)) return false;
  if (retry.on.empty()) return true;
  for (const RetryCause& cause : retry.on) {
    if (cause.kind == RetryCause::Kind::exit_code && node.last->kind == Kind::exited &&
        node.last->code == cause.code)
      return true;
    if (cause.kind == RetryCause::Kind::signal && node.last->kind == Kind::signalled) return true;
    if (cause.kind == RetryCause::Kind::timeout && node.last->kind == Kind::timeout) return true;
    if (cause.kind == RetryCause::Kind::no_output && node.last->kind == Kind::no_output) return true;
    if (cause.kind == RetryCause::Kind::lost && node.last->kind == Kind::lost) return true;
  }
  return false;
}

// The states in which a step may end now.
std::vector<RunRules::State> RunRules::ends(int step) const {
  const Node& node = at(step);
  const Step& s = plot_.step(step);
  if (node.left_out) return {State::skipped};
  if (node.undecided) return {State::failed};
  if (node.holds == false) return {State::skipped};
  if (node.hit == true) return {State::cached};
  if (node.running) return {};
  if (node.collecting) return killed_ ? std::vector{State::cancelled} : std::vector<State>{};
  if (node.good) return {*node.good ? State::succeeded : State::failed};
  if (node.last) {
    // Tried again as long as that is allowed; a clean-up step also when all others end.
    if (retriable(step)) return {};
    if (killed_ && node.last->kind == Kind::succeeded) return {State::cancelled};
    if (node.stop_asked || (cancelled_ && node.last->kind == Kind::stopped)) return {State::cancelled};
    if (node.last->kind == Kind::lost && !node.waiting) return {State::lost};
    return {State::failed};
  }
  // It never began.
  std::vector<State> list;
  if (cancelled_ && (!s.always || killed_)) list.push_back(State::cancelled);
  if (s.always) return list;
  if (!needs_ended(step)) return list;
  if (!needs_good(step)) {
    if (skipped_above(step)) list.push_back(State::skipped);
    if (failed_above(step)) list.push_back(State::not_run);
  } else if (failing_ && !cancelled_) {
    list.push_back(State::not_run);
  }
  return list;
}

// --- Events -------------------------------------------------------------------------------------------

void RunRules::condition(int step, bool holds) {
  if (!at(step).evaluating) return;
  at(step).evaluating = false;
  at(step).holds = holds;
}

void RunRules::condition_failed(int step) {
  if (!at(step).evaluating) return;
  at(step).evaluating = false;
  at(step).undecided = true;
}

void RunRules::checked(int step, bool hit) {
  if (!at(step).checking) return;
  at(step).checking = false;
  at(step).hit = hit;
}

void RunRules::ended(int step, const Outcome& outcome, std::int64_t now) {
  Node& node = at(step);
  if (!node.running) wrong(step, "an attempt ended that did not run");
  node.running = false;
  node.last = outcome;
  node.ended_at = now;
  if (outcome.kind == Kind::succeeded && !killed_) {
    node.collecting = true;  // it keeps what it holds
  } else {
    take(step, -1);
  }
}

void RunRules::collected(int step, bool good) {
  Node& node = at(step);
  if (!node.collecting) return;
  node.collecting = false;
  node.good = good;
  take(step, -1);
}

void RunRules::cancelled() { cancelled_ = true; }
void RunRules::killed() { cancelled_ = killed_ = true; }

// --- Actions ------------------------------------------------------------------------------------------

void RunRules::act(const Action& action, std::int64_t now) {
  if (const auto* check = std::get_if<Check>(&action)) {
    Node& node = at(check->step);
    if (!plot_.checks[static_cast<std::size_t>(check->step)] || node.checking || node.hit || node.end)
      wrong(check->step, "asked for its results at the wrong time");
    if (!may_begin(check->step)) wrong(check->step, "asked for its results though it must not begin");
    if (!plot_.step(check->step).when.empty() && node.holds != true)
      wrong(check->step, "asked for its results before its condition");
    node.checking = true;
  } else if (const auto* evaluate = std::get_if<Evaluate>(&action)) {
    Node& node = at(evaluate->step);
    if (plot_.step(evaluate->step).when.empty() || node.evaluating || node.holds || node.end)
      wrong(evaluate->step, "its condition was asked at the wrong time");
    if (!may_begin(evaluate->step)) wrong(evaluate->step, "its condition was asked though it must not begin");
    node.evaluating = true;
  } else if (const auto* begin = std::get_if<StartAttempt>(&action)) {
    start(*begin, now);
  } else if (const auto* stop = std::get_if<StopAttempt>(&action)) {
    Node& node = at(stop->step);
    if (!node.running || stop->attempt != histories_[static_cast<std::size_t>(stop->step)].attempts)
      wrong(stop->step, "was told to stop and does not run");
    if (!cancelled_ || (plot_.step(stop->step).always && !killed_))
      wrong(stop->step, "was told to stop for nothing");
    node.stop_asked = true;
  } else if (const auto* collect = std::get_if<Collect>(&action)) {
    if (!at(collect->step).collecting) wrong(collect->step, "its outputs were asked for at the wrong time");
  } else if (const auto* retry = std::get_if<WaitForRetry>(&action)) {
    wait(*retry);
  } else {
    settle(std::get<Settle>(action));
  }
}

void RunRules::start(const StartAttempt& action, std::int64_t now) {
  const int step = action.step;
  Node& node = at(step);
  const Step& s = plot_.step(step);
  History& history = histories_[static_cast<std::size_t>(step)];
  if (node.running || node.collecting) wrong(step, "was started while it ran");
  if (node.end) wrong(step, "was started after it had ended");
  if (history.done && !s.always) wrong(step, "was started though it had succeeded");
  if (!needs_ended(step)) wrong(step, "was started before what it needs was done");
  if (!s.always && !needs_good(step)) wrong(step, "was started though what it needs is not there");
  if (!may_begin(step)) wrong(step, "was started though the run was to stop");
  if (!s.when.empty() && node.holds != true) wrong(step, "was started without its condition");
  if (plot_.checks[static_cast<std::size_t>(step)] && node.hit != false) wrong(step, "was started unchecked");
  if (action.attempt != history.attempts + 1)
    wrong(step, "attempt " + std::to_string(action.attempt) + " follows " + std::to_string(history.attempts));
  if (node.tries > s.retry.times) wrong(step, "was tried more often than `retry` allows");
  if (node.tries > 0) {
    if (!node.waiting) wrong(step, "was tried again without a word");
    if (now < node.retry_at) wrong(step, "was tried again too early");
  }
  if (!fits(step)) wrong(step, "was started though there was no room");
  if (static_cast<int>(action.gpus.size()) != s.resources.gpus)
    wrong(step, "was not given the GPUs it asks for");
  for (const std::string& gpu : action.gpus) {
    if (std::ranges::find(plot_.capacity.gpus, gpu) == plot_.capacity.gpus.end() || gpus_[gpu] > 0)
      wrong(step, "was given a GPU that is not free");
  }
  node.gpus = action.gpus;
  take(step, 1);
  node.running = true;
  node.waiting = false;
  node.last.reset();
  ++node.tries;
  ++history.attempts;
}

void RunRules::wait(const WaitForRetry& action) {
  Node& node = at(action.step);
  const Retry& retry = plot_.step(action.step).retry;
  if (node.running || node.end || node.waiting || !retriable(action.step))
    wrong(action.step, "is to be tried again, which nothing allows");
  double least = static_cast<double>(retry.delay.count()) * std::pow(retry.backoff, node.tries - 1);
  if (retry.max_delay.count() > 0) least = std::min(least, static_cast<double>(retry.max_delay.count()));
  const auto delay = static_cast<double>(action.until_ms - node.ended_at);
  if (delay < std::floor(least) || delay > std::ceil(least * (1 + retry.jitter)))
    wrong(action.step,
          "waits " + std::to_string(delay) + " ms where it should wait " + std::to_string(least));
  node.waiting = true;
  node.retry_at = action.until_ms;
}

void RunRules::settle(const Settle& action) {
  Node& node = at(action.step);
  if (node.end) wrong(action.step, "ended twice");
  const std::vector<State> allowed = ends(action.step);
  if (std::ranges::find(allowed, action.state) == allowed.end()) {
    std::string words = std::string("ended as ") + to_string(action.state) + ", allowed:";
    for (const State state : allowed) words += std::string(" ") + to_string(state);
    wrong(action.step, words);
  }
  if (node.collecting) take(action.step, -1);
  node.collecting = node.evaluating = node.checking = node.waiting = false;
  node.end = action.state;
  if (action.state == State::succeeded) {
    History& history = histories_[static_cast<std::size_t>(action.step)];
    if (history.done && !plot_.step(action.step).always) wrong(action.step, "succeeded twice");
    history.succeed(history.attempts);
  }
  const bool tolerated = action.state == State::failed && plot_.step(action.step).continue_on_failure;
  if ((action.state == State::failed || action.state == State::lost) && !tolerated && !plot_.keep_going)
    failing_ = true;
}

// --- Room ---------------------------------------------------------------------------------------------

bool RunRules::fits(int step) const {
  const Resources& wish = plot_.step(step).resources;
  constexpr double little = 1e-6;
  if (jobs_ + 1 > plot_.capacity.jobs || cpus_ + wish.cpus > plot_.capacity.cpus + little ||
      memory_ + wish.memory > plot_.capacity.memory)
    return false;
  std::size_t taken = 0;
  for (const auto& [gpu, count] : gpus_) taken += static_cast<std::size_t>(count);
  if (taken + static_cast<std::size_t>(wish.gpus) > plot_.capacity.gpus.size()) return false;
  return std::ranges::all_of(wish.pools, [&](const auto& pool) {
    const auto used = pools_.find(pool.first);
    return (used == pools_.end() ? 0 : used->second) + pool.second <= plot_.capacity.pools.at(pool.first);
  });
}

void RunRules::take(int step, int sign) {
  const Resources& wish = plot_.step(step).resources;
  jobs_ += sign;
  cpus_ += sign * wish.cpus;
  memory_ += sign > 0 ? wish.memory : -wish.memory;
  for (const auto& [pool, count] : wish.pools) pools_[pool] += sign * count;
  for (const std::string& gpu : at(step).gpus) gpus_[gpu] += sign;
  if (sign < 0) at(step).gpus.clear();
}

// --- Rest and end -------------------------------------------------------------------------------------

void RunRules::rest(std::int64_t now, bool finished) const {
  bool open = false, hope = false;
  for (int i = 0; i < plot_.steps(); ++i) {
    const Node& node = at(i);
    if (node.end) continue;
    open = true;
    hope = hope || node.running || node.collecting || node.evaluating || node.checking || node.waiting;
    if (node.running || node.collecting || node.evaluating || node.checking) continue;
    if (may_begin(i)) {
      if (!plot_.step(i).when.empty() && !node.holds)
        wrong(i, "could go on, and its condition was not asked");
      if (plot_.checks[static_cast<std::size_t>(i)] && !node.hit)
        wrong(i, "could go on, and was not checked");
      if (!(node.waiting && node.retry_at > now) && fits(i))
        wrong(i, "could run, there is room, and it was not started");
    } else if (!node.waiting && !ends(i).empty() && (needs_ended(i) || cancelled_)) {
      wrong(i, "has nothing to wait for, and was not ended");
    }
  }
  if (open && !hope) throw Violation("nothing goes on, and the run is not over");
  if (finished == open) throw Violation("whether the run is over is not what its steps say");
}

void RunRules::over(bool failed) const {
  bool bad = false;
  for (int i = 0; i < plot_.steps(); ++i) {
    const Node& node = at(i);
    if (!node.end) wrong(i, "never ended");
    if (*node.end == State::running || *node.end == State::pending || *node.end == State::retrying)
      wrong(i, "ended in a state that is no end");
    bad =
        bad || *node.end == State::lost || (*node.end == State::failed && !plot_.step(i).continue_on_failure);
  }
  if (cancelled_) return;
  if (bad != failed)
    throw Violation(bad ? "a step failed, and the run did not" : "the run failed, and no step did");
  if (bad) return;
  for (int i = 0; i < plot_.steps(); ++i) {
    if (*at(i).end == State::not_run || *at(i).end == State::cancelled)
      wrong(i, std::string("is ") + to_string(*at(i).end) + " in a run that succeeded");
  }
}

}  // namespace simulation
