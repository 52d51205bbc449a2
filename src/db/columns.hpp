// How values that SQLite does not know lie in columns: times as UTC texts, small numbers, NULL for no text.
#pragma once

#include <mlops/records.hpp>

#include "db/sqlite.hpp"
#include "util/time.hpp"

#include <optional>
#include <string>

namespace mlops::db {

inline std::optional<std::string> time_text(const std::optional<Instant>& instant) {
  return instant ? std::optional(util::format_utc(*instant)) : std::nullopt;
}

inline std::optional<std::string> or_null(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

inline std::optional<Instant> instant(const Statement& row, int column) {
  return row.is_null(column) ? std::nullopt : util::parse_utc(row.text(column));
}

inline std::optional<int> small(const Statement& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional(static_cast<int>(row.integer(column)));
}

}  // namespace mlops::db
