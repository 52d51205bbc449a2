// The core of a run: a pure state machine, (state, event) -> (state, actions). It starts no process, reads
// no file and asks no clock, so that a simulation can drive it; the loop in engine/runner.cpp performs the
// actions and reports what came of them.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>

#include "engine/resources.hpp"

#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace mlops::engine {

/// How one attempt ended, as far as decisions need it.
struct AttemptOutcome {
  enum class Kind { succeeded, exited, signalled, timeout, no_output, stopped, not_started, lost };
  Kind kind = Kind::lost;
  int code = 0;        ///< for `exited`; 128+N for `signalled` by signal N
  std::string words;   ///< for people: "exit code 3", "timed out after 30s"
  bool final = false;  ///< trying again would change nothing
};

// Actions: what the loop is to do.
struct Check {
  int step;
};  ///< whether its results are there already; answer with checked()
struct Evaluate {
  int step;
};  ///< the step's condition; answer with condition_known()
struct StartAttempt {
  int step;
  int attempt;
  std::vector<std::string> gpus;
};  ///< answer: attempt_ended()
struct StopAttempt {
  int step;
  int attempt;
  bool at_once;
};
struct Collect {
  int step;
  int attempt;
};  ///< take stock of outputs; answer with collected()
struct WaitForRetry {
  int step;
  int next_attempt;
  std::int64_t until_ms;
  std::string why;
};
struct Settle {
  int step;
  StepState state;
  std::string reason;
};  ///< final
using Action = std::variant<Check, Evaluate, StartAttempt, StopAttempt, Collect, WaitForRetry, Settle>;

/// How a step enters the run.
struct Entry {
  enum class Kind {
    run,
    leave_out,  ///< not selected: what it would make is taken to be there, and its place in the order is kept
    done,       ///< succeeded in an earlier part of this run, or failed where that is tolerated
  };
  Kind kind = Kind::run;
  int attempts = 0;                        ///< made in earlier parts of this run
  std::string reason;                      ///< for leave_out
  StepState state = StepState::succeeded;  ///< for done
  AttemptOutcome outcome;                  ///< for done: how its last attempt ended
};

struct MachineOptions {
  Capacity capacity;
  bool keep_going = false;
  std::uint64_t seed = 0;    ///< of the stable jitter of retries
  std::vector<char> checks;  ///< by step: ask before it starts whether it has to; empty: none
};

/// Not thread-safe. `pipeline` and `graph` must outlive it. Times are monotonic milliseconds of the caller.
class Machine {
 public:
  Machine(const Pipeline& pipeline, const Graph& graph, const std::vector<Entry>& entries,
          MachineOptions options);

  // Events. Each may leave actions to be fetched.
  void begin();
  void condition_known(int step, bool holds, const std::string& words);
  void condition_failed(int step, const std::string& why);
  /// A hit needs not run: its results are in place.
  void checked(int step, bool hit, const std::string& words);
  void attempt_ended(int step, const AttemptOutcome& outcome, std::int64_t now_ms);
  /// `problem` is empty when all declared outputs are there.
  void collected(int step, const std::string& problem);
  void tick(std::int64_t now_ms);
  /// No new steps, running ones are asked to stop; clean-up steps still run.
  void cancel(const std::string& why);
  /// As cancel(), at once and without clean-up.
  void kill(const std::string& why = "interrupted");

  std::vector<Action> take_actions();

  bool finished() const { return open_ == 0; }
  /// When tick() has something to do; INT64_MAX: never.
  std::int64_t next_tick_ms() const;
  StepState state(int step) const { return nodes_[static_cast<std::size_t>(step)].state; }
  bool cancelled() const { return cancelled_; }
  bool killed() const { return killed_; }
  /// The first step whose failure made the run fail; -1: none.
  int first_failure() const { return first_failure_; }
  const AttemptOutcome& last_outcome(int step) const {
    return nodes_[static_cast<std::size_t>(step)].outcome;
  }

 private:
  enum class Phase : std::uint8_t {
    waiting,
    evaluating,
    checking,
    ready,
    running,
    retry_wait,
    collecting,
    settled
  };
  struct Node {
    Phase phase = Phase::waiting;
    StepState state = StepState::pending;
    bool stop_asked = false;
    bool passes = true;  // left out: all that it needs is there
    bool skips = false;  // left out: what it needs was skipped
    int attempt = 0;     // the one that runs or ran last
    int tries = 0;       // in this part of the run
    int open_needs = 0;
    int resource_class = 0;
    std::int64_t retry_at = 0;
    std::vector<std::string> gpus;
    AttemptOutcome outcome;
  };

  Node& node(int step) { return nodes_[static_cast<std::size_t>(step)]; }
  const Step& step_of(int step) const { return pipeline_.steps[static_cast<std::size_t>(step)]; }
  void needs_are_met(int step);
  void make_ready(int step);
  void admit(int step);  // ready, unless the run was stopped while its question was open
  void start_what_fits();
  void release(int step);
  void settle(int step, StepState state, const std::string& reason);
  void propagate();
  void fail(int step, StepState state, const std::string& reason);
  void give_up_waiting(StepState state, const std::string& reason);
  bool satisfies(int step) const;
  bool is_skipped(int step) const;

  const Pipeline& pipeline_;
  const Graph& graph_;
  MachineOptions options_;
  ResourceLedger ledger_;
  std::vector<Node> nodes_;
  std::vector<Entry> entries_;
  std::vector<Resources> classes_;    // distinct resource wishes
  std::vector<std::set<int>> ready_;  // ready steps by resource class, in the file's order
  std::set<std::pair<std::int64_t, int>> retries_;
  std::vector<int> just_settled_;
  std::vector<Action> actions_;
  int open_ = 0;  // steps not settled yet
  bool stopping_ = false;
  bool cancelled_ = false;
  bool killed_ = false;
  std::string stop_reason_;
  int first_failure_ = -1;
};

/// Whether `retry` answers to `outcome`.
bool is_retried(const Retry& retry, const AttemptOutcome& outcome);

/// The wait before retry number `n` (from 1); `key` makes the jitter stable.
std::int64_t retry_delay_ms(const Retry& retry, int n, std::uint64_t key);

}  // namespace mlops::engine
