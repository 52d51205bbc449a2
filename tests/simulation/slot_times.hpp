// When entries of a schedule are due, by a reading of its own: cron minute by minute on clocks of the C
// library (tests/oracle), periods by arithmetic.
#pragma once

#include <mlops/schedule.hpp>
#include <mlops/slots.hpp>

#include "random.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace simulation {

using Time = std::int64_t;  // seconds since 1970 UTC

/// Slots of one entry; for cron a list over the years that are simulated.
class SlotTimes {
 public:
  static SlotTimes list(const std::vector<Time>& times) { return {&times, 0}; }
  static SlotTimes every(Time period) { return {nullptr, period}; }

  /// Those after `after` and up to `until`.
  std::vector<Time> between(Time after, Time until) const;
  std::optional<Time> next(Time after) const;
  bool is_slot(Time at) const { return next(at - 1) == at; }

 private:
  SlotTimes(const std::vector<Time>* times, Time period) : list_(times), period_(period) {}
  const std::vector<Time>* list_;
  Time period_;
};

/// An entry by chance: its times as a pipeline file says them, and when they are.
struct RandomEntry {
  mlops::Schedule schedule;
  SlotTimes times = SlotTimes::every(60);
  Time begin = 0, end = 0;  ///< what is simulated lies between
  Time first = 0;           ///< no clock shows less, wherever it is set
  Time step = 60;           ///< from one slot to the next, as a rule
};
/// Often it begins shortly before clocks change.
RandomEntry random_entry(Random& random);
/// Reads the clocks of the C library, which takes a second; before there are threads, as it sets TZ.
void read_clocks();
/// Catch-up, overlap and the like.
void random_policy(Random& random, mlops::Schedule& schedule);

/// What each of these slots comes to when somebody looks who sees all of them, and time up to `until`: the
/// table of docs/schedules.md.
std::vector<mlops::SlotOutcome> outcomes(const mlops::Schedule& policy, const std::vector<Time>& slots,
                                         Time until);

}  // namespace simulation
