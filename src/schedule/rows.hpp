// Rows of the ledger, as its parts make them.
#pragma once

#include <mlops/slots.hpp>

#include "schedule/decisions.hpp"

#include <string>

namespace mlops::schedule {

SlotRecord row_of(const ScheduleRecord& schedule, const Decision& decision);

/// "paused: NOTE".
std::string paused_words(const ScheduleRecord& schedule);

}  // namespace mlops::schedule
