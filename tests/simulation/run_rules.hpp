// What a run is to do, read from the documentation and not from the machine: told of each event and each
// action of a part of a run, it throws a Violation when they do not go together.
#pragma once

#include "engine/machine.hpp"
#include "plot.hpp"
#include "random.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace simulation {

/// What is known of a step over all parts of its run.
struct History {
  int attempts = 0;   // begun
  bool done = false;  // succeeded: never to run again
  int successes = 0;
  int good_attempt = 0;  // the last that succeeded: seen by the runner, or found by whoever came after it

  void succeed(int attempt) {
    done = true;
    successes += attempt != good_attempt;
    good_attempt = attempt;
  }
};

class RunRules {
 public:
  using Outcome = mlops::engine::AttemptOutcome;
  using State = mlops::StepState;

  RunRules(const Plot& plot, std::vector<History>& histories);

  // How steps enter this part.
  void enters_done(int step, State state);

  // Events.
  void condition(int step, bool holds);
  void condition_failed(int step);
  void checked(int step, bool hit);
  void ended(int step, const Outcome& outcome, std::int64_t now);
  void collected(int step, bool good);
  void cancelled();
  void killed();

  // Actions.
  void act(const mlops::engine::Action& action, std::int64_t now);

  /// All actions were taken: nothing that could go on stands still.
  void rest(std::int64_t now, bool finished) const;
  /// The part is over; `failed`: as its machine says.
  void over(bool failed) const;
  State state(int step) const { return *at(step).end; }
  bool running(int step) const { return at(step).running; }

 private:
  struct Node {
    std::optional<State> end;
    bool left_out = false;
    bool entered_done = false;
    bool evaluating = false, checking = false, running = false, collecting = false, waiting = false;
    bool stop_asked = false;
    std::optional<bool> holds, hit, good;
    bool undecided = false;  // its condition could not be told
    int tries = 0;
    std::optional<Outcome> last;
    std::int64_t ended_at = 0, retry_at = 0;
    std::vector<std::string> gpus;
  };
  Node& at(int step) { return nodes_[static_cast<std::size_t>(step)]; }
  const Node& at(int step) const { return nodes_[static_cast<std::size_t>(step)]; }
  bool good(int step) const;
  bool needs_ended(int step) const;
  bool needs_good(int step) const;
  bool skipped_above(int step) const;
  bool failed_above(int step) const;
  bool may_begin(int step) const;
  bool retriable(int step) const;
  bool fits(int step) const;
  void take(int step, int sign);
  void start(const mlops::engine::StartAttempt& action, std::int64_t now);
  void wait(const mlops::engine::WaitForRetry& action);
  void settle(const mlops::engine::Settle& action);
  std::vector<State> ends(int step) const;
  [[noreturn]] void wrong(int step, const std::string& what) const;

  const Plot& plot_;
  std::vector<History>& histories_;
  std::vector<Node> nodes_;
  bool cancelled_ = false, killed_ = false, failing_ = false;
  int jobs_ = 0;
  double cpus_ = 0;
  std::uint64_t memory_ = 0;
  std::map<std::string, int> pools_, gpus_;
};

}  // namespace simulation
