#include "util/quantity.hpp"

#include <array>
#include <cmath>
#include <cstdio>

namespace mlops::util {

namespace {

// A non-negative decimal number at the front of `text`, which is moved past it. Own code because
// from_chars reads "inf", and strtod the locale.
std::optional<double> take_number(std::string_view& text) {
  std::size_t i = 0;
  double value = 0;
  double scale = 1;
  bool digits = false;
  bool point = false;
  for (; i < text.size() && i < 24; ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      digits = true;
      if (point) scale /= 10;
      value = point ? value + (c - '0') * scale : value * 10 + (c - '0');
    } else if (c == '.' && !point) {
      point = true;
    } else {
      break;
    }
  }
  if (!digits) return std::nullopt;
  text.remove_prefix(i);
  return value;
}

std::string_view take_unit(std::string_view& text) {
  std::size_t i = 0;
  while (i < text.size() && ((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z'))) ++i;
  const std::string_view unit = text.substr(0, i);
  text.remove_prefix(i);
  return unit;
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr double century = 100.0 * 366 * 86'400'000;
  if (text.empty()) return std::nullopt;
  double total = 0;
  bool first = true;
  while (!text.empty()) {
    const auto number = take_number(text);
    if (!number) return std::nullopt;
    const std::string_view unit = take_unit(text);
    double factor = 0;
    if (unit == "ms") {
      factor = 1;
    } else if (unit == "s") {
      factor = 1'000;
    } else if (unit == "m" || unit == "min") {
      factor = 60'000;
    } else if (unit == "h") {
      factor = 3'600'000;
    } else if (unit == "d") {
      factor = 86'400'000;
    } else if (unit.empty() && first && text.empty()) {
      factor = 1'000;
    } else {
      return std::nullopt;
    }
    total += *number * factor;
    if (total > century) return std::nullopt;
    first = false;
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::llround(total)));
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto number = take_number(text);
  if (!number) return std::nullopt;
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const std::string_view unit = take_unit(text);
  if (!text.empty()) return std::nullopt;
  double factor = 1;
  if (!unit.empty() && unit != "B") {
    constexpr std::string_view prefixes = "KMGT";
    const std::size_t power = prefixes.find(unit[0] == 'k' ? 'K' : unit[0]);
    const std::string_view rest = unit.substr(1);
    if (power == prefixes.npos || !(rest.empty() || rest == "B" || rest == "iB" || rest == "i"))
      return std::nullopt;
    factor = std::pow(rest == "B" ? 1000.0 : 1024.0, static_cast<double>(power + 1));
  }
  const double bytes = *number * factor;
  if (bytes > 9e18) return std::nullopt;
  return static_cast<std::uint64_t>(std::llround(bytes));
}

std::string format_duration(std::chrono::milliseconds duration) {
  const long long ms = std::max<long long>(0, duration.count());
  char buffer[48];
  if (ms < 1'000) {
    std::snprintf(buffer, sizeof buffer, "%lldms", ms);
  } else if (ms < 60'000) {
    std::snprintf(buffer, sizeof buffer, "%.1fs", static_cast<double>(ms / 100) / 10);
  } else if (ms < 3'600'000) {
    std::snprintf(buffer, sizeof buffer, "%lldm%02llds", ms / 60'000, ms / 1'000 % 60);
  } else if (ms < 86'400'000) {
    std::snprintf(buffer, sizeof buffer, "%lldh%02lldm", ms / 3'600'000, ms / 60'000 % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%lldd%lldh", ms / 86'400'000, ms / 3'600'000 % 24);
  }
  return buffer;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // What would be shown as 1024.0 is one of the next unit.
  while (value >= (unit == 0 ? 1024 : 1023.95) && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return buffer;
}

}  // namespace mlops::util
