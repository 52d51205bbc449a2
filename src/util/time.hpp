// Wall-clock instants are UTC, in milliseconds; intervals come from the monotonic clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::util {

using Instant = std::chrono::sys_time<std::chrono::milliseconds>;

Instant now();

/// Milliseconds of CLOCK_MONOTONIC: stops while the machine is suspended, never jumps.
std::int64_t monotonic_ms();

/// "YYYY-MM-DD HH:MM:SS.mmm", the form in which the database keeps times.
std::string format_utc(Instant instant);

/// The inverse of format_utc(); also accepts a 'T', a 'Z' and missing milliseconds.
std::optional<Instant> parse_utc(std::string_view text);

/// In the zone of the machine, "YYYY-MM-DD HH:MM:SS".
std::string format_local(Instant instant);

/// "12s ago", "3m ago", "2h ago", or the local date when it is more than a day.
std::string format_ago(Instant instant, Instant now);

}  // namespace mlops::util
