// What becomes of the slots that are due: a function of the timetable, of how far the ledger has come, and of
// the time. The same after a restart, a suspended machine, a pause and a change of the clock.
#pragma once

#include <mlops/slots.hpp>

#include "schedule/timetable.hpp"

#include <string>
#include <vector>

namespace mlops::schedule {

/// Later than that a slot counts as one that was missed while nobody looked.
constexpr std::chrono::seconds on_time{60};

/// Of slots that come to the same in a row, more than this many share a row of the ledger.
constexpr std::size_t most_rows = 1'000;

struct Decision {
  sys_seconds at{};
  std::string local;
  SlotOutcome outcome = SlotOutcome::claimed;  ///< `claimed`: it is to be run
  std::string reason;
  sys_seconds until{};  ///< the last slot that it stands for
  std::int64_t slots = 1;
};

/// Of all slots after `cursor` that are due at `now`, oldest first; times that clocks skip are told as well.
/// Nothing if `now` is not after `cursor`, as when the clock was set back.
std::vector<Decision> decide(const Timetable& timetable, sys_seconds cursor, sys_seconds now);

/// As decide(), where none of them is to run: because of a pause or an edit.
std::vector<Decision> void_slots(const Timetable& timetable, sys_seconds cursor, sys_seconds now,
                                 SlotOutcome outcome, const std::string& reason);

/// Up to which slot decide() decides at `now`: the delay of the timetable counts.
sys_seconds settled_until(const Timetable& timetable, sys_seconds now);

}  // namespace mlops::schedule
