// What a backfill has to do: a function of the slots and of what is known of each.
#pragma once

#include <mlops/backfills.hpp>
#include <mlops/slots.hpp>

#include "schedule/timetable.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mlops::schedule {

/// A slot and what is known of it.
struct SlotHistory {
  sys_seconds at{};
  std::string local;
  std::optional<SlotRecord> row{};  ///< of the ledger; it may stand for many slots
  std::optional<RunState> run{};    ///< of a slot that ran: its run, if that was not deleted
  bool claimer_lives = false;       ///< of a claimed one
  bool same = false;                ///< its run did what the file says now
  std::int64_t asked_by = 0;        ///< the backfill in which a run of it waits; 0: none
};

SlotState state_of(const SlotHistory& slot);

/// Which of the slots are run, and how.
struct BackfillChoice {
  std::set<SlotState> only = {SlotState::missing, SlotState::failed, SlotState::stale};
  bool newest_first = false;
  int jobs = 1;  ///< runs at a time
};

struct PlannedSlot {
  sys_seconds at{};
  std::string local;
  SlotState state = SlotState::missing;
  std::string run_id;  ///< the run that it has, if any
  std::string reason;  ///< why it is in that state, as far as the ledger knows
  bool chosen = false;
};

struct BackfillPlan {
  std::vector<PlannedSlot> slots;  ///< oldest first
  std::vector<std::size_t> order;  ///< those that are chosen, as they are to run
  std::map<SlotState, std::size_t> counts;
  std::optional<Milliseconds> each;   ///< how long a run took so far; none: nobody knows
  std::optional<Milliseconds> total;  ///< of all that are chosen, so many at a time
};

BackfillPlan plan_backfill(const std::vector<SlotHistory>& slots, const BackfillChoice& choice,
                           std::optional<Milliseconds> each);

/// More slots than this are not one backfill.
constexpr std::size_t most_backfill_slots = 100'000;

/// The slots of the entry from `from` to `to`, which are times as clocks of its zone show them, or days, that
/// are meant whole; none that is yet to come at `now`. An empty `to` is now. Throws Error(usage) if there are
/// none, or too many.
std::vector<SlotHistory> slots_between(const Timetable& timetable, const std::string& from,
                                       const std::string& to, sys_seconds now);

}  // namespace mlops::schedule
