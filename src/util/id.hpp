#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace mlops::util {

/// A new run id: 16 characters of [0-9a-z] (Crockford's base 32), 10 of the time in milliseconds and 6 of
/// randomness, so that ids sort by time. Ids made by one process never go backwards.
std::string new_id();

/// How ids of that moment begin: all ids made earlier sort before it.
std::string id_prefix(std::chrono::sys_time<std::chrono::milliseconds> moment);

/// When an id was made.
std::chrono::sys_time<std::chrono::milliseconds> time_of_id(std::string_view id);

/// 16 characters of [0-9a-z]: what may be the name of a run's directory.
bool is_id(std::string_view text);

}  // namespace mlops::util
