#include "daemon/chronicle.hpp"

#include "db/slots.hpp"
#include "util/time.hpp"

#include <vector>

namespace mlops::daemon {

namespace {

constexpr std::chrono::hours told_again_after{1};

}  // namespace

void Chronicle::tell(const ScheduleRecord& record, schedule::sys_seconds now) {
  std::vector<SlotRecord> slots = db::slots_between(database_.connection(), record.id, record.cursor, now);
  // Others are of before: the clock was set back, or somebody asked for them.
  std::erase_if(slots, [&](const SlotRecord& slot) { return slot.decided_at != Instant(now); });
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const SlotRecord& first = slots[i];
    std::int64_t count = first.slots;
    // Reasons of one look differ in how late each slot is, at most.
    for (; i + 1 < slots.size() && slots[i + 1].outcome == first.outcome; ++i) count += slots[i + 1].slots;
    const SlotRecord& last = slots[i];
    take(record, first, last.slots > 1 ? util::format_utc(last.until) + " UTC" : last.local, count,
         last.reason);
  }
}

void Chronicle::tell_of(const std::vector<SlotRecord>& claims) {
  for (const SlotRecord& claim : claims) {
    const auto slot = db::find_slot(database_.connection(), claim.schedule, claim.at);
    const auto record = db::find_schedule(database_.connection(), claim.schedule);
    if (slot && record && slot->outcome != SlotOutcome::claimed)
      take(*record, *slot, slot->local, 1, slot->reason);
  }
}

void Chronicle::close() {
  for (auto& [schedule, row] : rows_) tell(row, util::now());
  rows_.clear();
}

void Chronicle::take(const ScheduleRecord& record, const SlotRecord& first, const std::string& last,
                     std::int64_t slots, const std::string& reason) {
  const auto known = rows_.find(record.id);
  const bool runs = first.outcome == SlotOutcome::claimed || first.outcome == SlotOutcome::ran;
  if (known != rows_.end() &&
      (runs || known->second.outcome != first.outcome || known->second.reason != reason)) {
    tell(known->second, first.decided_at);
    rows_.erase(known);
  }
  if (runs) return;
  Row& row = rows_[record.id];
  if (!row.begun) row = {record.pipeline + " " + record.name, first.outcome, reason, "", "", 0, false, {}};
  if (row.untold == 0) row.first = first.local;
  row.untold += slots;
  row.last = last;
  if (!row.begun || first.decided_at - row.told >= told_again_after) tell(row, first.decided_at);
}

void Chronicle::tell(Row& row, Instant now) {
  if (row.untold == 0) return;
  const bool many = row.untold > 1;
  const std::string outcome = to_string(row.outcome);
  const std::string what = row.reason.starts_with(outcome) ? row.reason
                           : row.reason.empty()            ? outcome
                                                           : outcome + ", " + row.reason;
  say_(row.name + " " + row.first + (many ? " to " + row.last : "") + ": " +
       (many        ? std::to_string(row.untold) + (row.begun ? " more slots " : " slots ")
        : row.begun ? "also "
                    : "") +
       what);
  row.begun = true;
  row.untold = 0;
  row.told = now;
}

}  // namespace mlops::daemon
