// Rules of a .gitignore or .dvcignore: which paths they leave out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlops::util {

class IgnoreRules {
 public:
  /// Adds the lines of an ignore file in `directory`, a path relative to the root ("" for the root itself).
  /// Files of directories further down are added after those further up.
  void add(std::string_view text, std::string_view directory);

  /// True if `path` (relative to the root) or a directory around it is left out; the last rule that fits
  /// decides.
  bool ignores(std::string_view path, bool directory) const;

  bool empty() const { return rules_.empty(); }

 private:
  struct Rule {
    std::vector<std::string> parts;  // of the pattern, between slashes
    std::string directory;           // of the ignore file, with a slash at the end
    bool negated = false;
    bool only_directories = false;
  };
  bool decide(std::string_view path, bool directory) const;

  std::vector<Rule> rules_;
};

}  // namespace mlops::util
