// Tags of runs: KEY or KEY=VALUE.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::db {

struct Tag {
  std::string key;
  std::string value;  ///< may be empty

  std::string text() const { return value.empty() ? key : key + "=" + value; }
};

/// Reads "KEY" or "KEY=VALUE"; nullopt if the key is none: letters, digits, '.', '_', '-' and '/', at most
/// 250 bytes, or the value is longer than 5000 bytes, no UTF-8, or has control characters.
std::optional<Tag> parse_tag(std::string_view text);

/// By key.
std::vector<Tag> tags_of(Connection& db, const std::string& run_id);

/// Within a Transaction. A key that the run has already gets the new value.
void put_tag(Connection& db, const std::string& run_id, const Tag& tag, Instant now);
/// False: the run has no such tag.
bool remove_tag(Connection& db, const std::string& run_id, const std::string& key);

}  // namespace mlops::db
