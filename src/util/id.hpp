#pragma once

#include <string>

namespace mlops::util {

/// A new run id: 16 characters of [0-9a-z] (Crockford's base 32), 10 of the time in milliseconds and 6 of
/// randomness, so that ids sort by time. Ids made by one process never go backwards.
std::string new_id();

}  // namespace mlops::util
