// What becomes of the slots that are due: a function of the timetable, of how far the ledger has come, and of
// the time. The same after a restart, a suspended machine, a pause and a change of the clock.
#pragma once

#include <mlops/slots.hpp>

#include "schedule/timetable.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// A slot that is later counts as one that was missed while nobody looked.
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
  std::optional<sys_seconds> unseen_from = {};  ///< nobody looked from then until now
  std::string run_id = {};                      ///< the run that is in its way
};

/// What is known of the time in which nobody looked, besides how far the ledger has come.
struct Absence {
  std::optional<sys_seconds> seen = {};  ///< somebody was there, if that is later
  std::optional<sys_seconds> back = {};  ///< until then; nothing: until the time of the decision
};

/// Of all slots after `cursor` that are due at `now`, oldest first; times that clocks skip are told as well.
/// Nothing if `now` is not after `cursor`, as when the clock was set back.
std::vector<Decision> decide(const Timetable& timetable, sys_seconds cursor, sys_seconds now,
                             const Absence& absence = {});

/// As decide(), where none of them is to run: because of a pause or an edit.
std::vector<Decision> void_slots(const Timetable& timetable, sys_seconds cursor, sys_seconds now,
                                 SlotOutcome outcome, const std::string& reason);

/// Makes it one of a slot that was missed: nobody looked `from` then until `to`, and `reason`.
void make_missed(Decision& decision, const Timetable& timetable, sys_seconds from, sys_seconds to,
                 const std::string& reason);

/// Makes coalesced ones skipped, as `slot` is that was to make up for them: for `reason`, or because of a
/// run.
void skip_with(std::vector<Decision>& coalesced, const std::string& slot, const std::string& reason,
               const std::string& run_id);

/// Times after `cursor` that clocks have skipped, for which there is no slot.
std::vector<Decision> gaps_since(const Timetable& timetable, sys_seconds cursor, sys_seconds now);

/// The first moment after `cursor` at which decide() has something to decide.
std::optional<sys_seconds> next_look(const Timetable& timetable, sys_seconds cursor);

/// The last moment at which a slot may begin, which is due `delay` later; nothing if it may at any time.
std::optional<Instant> start_by(const Schedule& policy, std::chrono::seconds delay, sys_seconds slot);

/// Up to which slot decide() decides at `now`: the delay of the timetable counts.
sys_seconds settled_until(const Timetable& timetable, sys_seconds now);

}  // namespace mlops::schedule
