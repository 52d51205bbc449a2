#include "util/ignore_rules.hpp"

#include "util/strings.hpp"

#include <fnmatch.h>

namespace mlops::util {

namespace {

// `**` stands for any number of parts; everything else is matched part by part.
bool parts_match(const std::vector<std::string>& pattern, std::size_t p, const std::vector<std::string>& path,
                 std::size_t q) {
  for (; p < pattern.size(); ++p, ++q) {
    if (pattern[p] == "**") {
      if (p + 1 == pattern.size()) return q < path.size();
      for (std::size_t next = q; next <= path.size(); ++next) {
        if (parts_match(pattern, p + 1, path, next)) return true;
      }
      return false;
    }
    if (q == path.size() || ::fnmatch(pattern[p].c_str(), path[q].c_str(), 0) != 0) return false;
  }
  return q == path.size();
}

}  // namespace

void IgnoreRules::add(std::string_view text, std::string_view directory) {
  for (std::string line : split(text, '\n')) {
    if (line.ends_with('\r')) line.pop_back();
    while (line.ends_with(' ') && !line.ends_with("\\ ")) line.pop_back();
    if (line.empty() || line[0] == '#') continue;
    Rule rule;
    if (line[0] == '!') rule.negated = true, line.erase(0, 1);
    if (line.ends_with('/')) rule.only_directories = true, line.pop_back();
    if (line.empty()) continue;
    const bool anchored = line.find('/') != line.npos;
    if (line[0] == '/') line.erase(0, 1);
    if (!anchored) rule.parts.push_back("**");
    for (std::string& part : split(line, '/')) rule.parts.push_back(std::move(part));
    if (!directory.empty()) rule.directory = std::string(directory) + "/";
    rules_.push_back(std::move(rule));
  }
}

bool IgnoreRules::decide(std::string_view path, bool directory) const {
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    if (rule->only_directories && !directory) continue;
    if (!path.starts_with(rule->directory)) continue;
    if (parts_match(rule->parts, 0, split(path.substr(rule->directory.size()), '/'), 0))
      return !rule->negated;
  }
  return false;
}

bool IgnoreRules::ignores(std::string_view path, bool directory) const {
  if (rules_.empty()) return false;
  for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    if (decide(path.substr(0, slash), true)) return true;
  }
  return decide(path, directory);
}

}  // namespace mlops::util
