// Rows of the ledger, as its parts make them.
#pragma once

#include <mlops/slots.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/decisions.hpp"

#include <string>
#include <vector>

namespace mlops::schedule {

SlotRecord row_of(const ScheduleRecord& schedule, const Decision& decision, sys_seconds now);

/// "paused: NOTE".
std::string paused_words(const ScheduleRecord& schedule);

/// Whether the process that has claimed it has died.
bool is_dead(const SlotRecord& slot);

/// What becomes of a claim whose process died before the run began, if nobody takes it over.
void close_dead(SlotRecord& slot, SlotOutcome outcome, const std::string& reason, sys_seconds now);

/// Of a pipeline, but for those of backfills: they are in nobody's way.
std::vector<std::string> live_runs(const Workspace& workspace, db::Connection& connection,
                                   const std::string& pipeline);

constexpr const char* died = "the process that had claimed it died before the run began";

}  // namespace mlops::schedule
