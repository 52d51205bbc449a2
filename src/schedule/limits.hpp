// How many runs there may be at a time, and how soon after each other: of those that are for slots and
// requests, whoever started them. What goes on is asked of the kernel.
#pragma once

#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "process/identity.hpp"
#include "workspace/config.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// A claim that is passed on from one process to another is worth another look after this time.
constexpr std::chrono::seconds look_again{1};

/// What goes on.
struct Load {
  int runs = 0;
  std::map<std::string, int> queues, pipelines;
  std::map<std::int64_t, int> backfills;
  std::vector<process::Identity> holders;  ///< whose end may make room
  bool in_motion = false;                  ///< a claim is passed on to the process that is to run it
};
Load load_of(const Workspace& workspace, db::Connection& connection);

/// A run that would begin.
struct Wish {
  std::string queue;  ///< empty: for a slot
  std::string pipeline;
  int concurrency = 0;        ///< as its file says
  bool replaces = false;      ///< it ends the other runs of its pipeline
  std::int64_t backfill = 0;  ///< which one it is a part of; 0: none
  int jobs = 0;               ///< runs of the backfill at a time
};

/// Says of one after the other whether it may begin, and counts it then.
class Admission {
 public:
  /// When the `n`th newest claim of a queue was made, up to now.
  using NthClaim = std::function<std::optional<Instant>(const std::string& queue, int n)>;

  /// `load` is asked for only if a limit needs it. All must outlive this.
  Admission(const workspace::Config& config, Instant now, std::function<Load()> load, NthClaim nth_claim)
      : config_(config), now_(now), ask_load_(std::move(load)), nth_claim_(std::move(nth_claim)) {}

  /// What holds it back, in words; empty: it may begin.
  std::string hold(const Wish& wish);

  /// Whether the workspace has as many runs as it may, as one that was held back has found.
  bool full() const { return full_; }
  /// When one of those that were held back may begin by itself.
  std::optional<Instant> next() const { return next_; }
  /// Whose end may let one begin of those that were held back.
  const std::vector<process::Identity>& holders() const { return holders_; }

 private:
  Load& load();
  void look_at(Instant time);
  std::string held_by_load(const Wish& wish);
  std::string held_by_rate(const Wish& wish);

  const workspace::Config& config_;
  Instant now_;
  std::function<Load()> ask_load_;
  NthClaim nth_claim_;
  std::optional<Load> load_;
  bool full_ = false;
  Load begun_;                                      // those that may begin, which are not on record yet
  std::map<std::string, std::string> slow_queues_;  // held back by their rates, in words
  std::optional<Instant> next_;
  std::vector<process::Identity> holders_;
};

}  // namespace mlops::schedule
