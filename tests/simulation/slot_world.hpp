// Schedules on a clock that goes forth, jumps and stands still: the real decisions about slots, beside an
// oracle that reads the time zones of the system by the C library.
#pragma once

#include "random.hpp"

#include <cstdint>

namespace simulation {

/// Throws Violation.
void simulate_slots(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally);

/// As simulate_slots(), with the ledger in its database: two schedulers that race, claims whose processes
/// die, slots that are asked for by hand, pauses, edits, files that cannot be read.
void simulate_ledger(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally);

}  // namespace simulation
