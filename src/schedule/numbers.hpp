// Sets of small numbers as lists of other schedulers.
#pragma once

#include <cstdint>
#include <string>

namespace mlops::schedule {

/// Bits `low` to `high` as "*", or a list such as "1,5,9-17" with `to` between the ends of a range, each of
/// at least `width` digits.
std::string numbers_text(std::uint64_t bits, int low, int high, const char* to, int width = 1);

}  // namespace mlops::schedule
