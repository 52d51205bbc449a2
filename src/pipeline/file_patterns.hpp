// Which files a trigger looks at: paths and patterns, relative to the pipeline file's directory.
#pragma once

#include "util/ignore_rules.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

/// Whether a '[' of the pattern is not closed in its part of the path: it would stand for itself.
bool has_open_bracket(std::string_view pattern);

/// "data/*.csv", "config" (a file, or a folder with all in it), "data/**/part-?.parquet"; one that begins
/// with
/// '!' takes out what those before it let in. Folders called .git and .mlops are never looked into.
class FilePatterns {
 public:
  FilePatterns(const std::vector<std::string>& patterns, const std::string& directory);

  /// Whether they mean the file at this absolute path.
  bool mean(const std::string& path) const;
  /// Whether they mean something in the folder at this absolute path.
  bool lead_into(const std::string& folder) const;

  /// All there are now, absolute and sorted. `on_folder` hears of each folder in which one could appear:
  /// those that are looked into, and where the first part of a pattern is missing, the one in which it would
  /// be. Throws Error(io) when there are too many.
  std::vector<std::string> find(const std::function<void(const std::string&)>& on_folder = {}) const;
  /// The same below one folder; nothing if they do not lead there.
  void find_below(const std::string& folder, std::vector<std::string>& files,
                  const std::function<void(const std::string&)>& on_folder) const;

 private:
  struct Pattern {
    std::vector<std::string> parts;  // of an absolute path
    std::string root;                // what of it holds no pattern
  };
  std::vector<Pattern> patterns_;
  std::vector<util::IgnoreRules> rules_;  // each of one pattern: it fits a path, or a folder around it
  std::vector<char> negated_;
};

}  // namespace mlops::pipeline
