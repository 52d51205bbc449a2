// A run from its beginning to its end, over as many parts as it takes: the real machine and what is made of
// records after a crash, with a runner, a keeper, a database and a clock that are played.
#pragma once

#include "random.hpp"

#include <cstdint>

namespace simulation {

/// Throws Violation.
void simulate_run(std::uint64_t seed, Break wrong, Trace& trace, Tally& tally);

}  // namespace simulation
