#include "db/tags.hpp"

#include "db/columns.hpp"
#include "util/strings.hpp"

#include <algorithm>

namespace mlops::db {

std::optional<Tag> parse_tag(std::string_view text) {
  constexpr std::size_t longest_key = 250, longest_value = 5000;
  const std::size_t at = text.find('=');
  const std::string_view key = text.substr(0, at);
  const std::string_view value = at == text.npos ? std::string_view() : text.substr(at + 1);
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/';
  };
  if (key.empty() || key[0] == '-' || key.size() > longest_key || !std::ranges::all_of(key, fits))
    return std::nullopt;
  const std::string words(value);
  if (words.size() > longest_value || util::escape_controls(util::to_utf8(words)) != words)
    return std::nullopt;
  return Tag{std::string(key), words};
}

std::vector<Tag> tags_of(Connection& db, const std::string& run_id) {
  Statement& row = db.cached("SELECT key, value FROM tags WHERE run_id = ? ORDER BY key").bind(run_id);
  std::vector<Tag> tags;
  while (row.step()) tags.push_back({row.text(0), row.text(1)});
  row.reset();
  return tags;
}

void put_tag(Connection& db, const std::string& run_id, const Tag& tag, Instant now) {
  db.cached("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)")
      .bind(run_id, tag.key, tag.value, util::format_utc(now))
      .run();
}

bool remove_tag(Connection& db, const std::string& run_id, const std::string& key) {
  db.cached("DELETE FROM tags WHERE run_id = ? AND key = ?").bind(run_id, key).run();
  return db.changes() > 0;
}

}  // namespace mlops::db
