// Durations and sizes as users write them: "90s", "1h30m", "250ms", "4GiB", "64MB".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::util {

/// One or more NUMBER UNIT pairs (ms, s, m, h, d), or a bare number of seconds; nullopt if it is neither
/// or exceeds 100 years.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

/// NUMBER with B, K/KB/KiB, M…, G…, T… (KB = 1000, K and KiB = 1024) or a bare number of bytes.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// Short and for people: "340ms", "12.4s", "3m05s", "2h10m", "3d4h".
std::string format_duration(std::chrono::milliseconds duration);

/// Short and for people: "512 B", "4.0 KiB", "1.2 GiB".
std::string format_size(std::uint64_t bytes);

}  // namespace mlops::util
