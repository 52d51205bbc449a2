#include "pipeline/file_patterns.hpp"

#include <mlops/error.hpp>

#include "pipeline/paths.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>

namespace mlops::pipeline {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_files = 1'000'000;

bool is_pattern(std::string_view part) {
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\') {
      ++i;
    } else if (std::string_view("*?[").find(part[i]) != std::string_view::npos) {
      return true;
    }
  }
  return false;
}

// What a part without wildcards stands for.
std::string plain(std::string_view part) {
  std::string text;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '\\' && i + 1 < part.size()) ++i;
    text += part[i];
  }
  return text;
}

// A path as it is, whatever characters it has.
std::string escaped(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (std::string_view("*?[]\\!").find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return text;
}

bool is_private(const std::string& name) { return name == ".git" || name == ".mlops"; }

}  // namespace

bool has_open_bracket(std::string_view pattern) {
  const auto at = [&](std::size_t i) { return i < pattern.size() ? pattern[i] : '/'; };
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      ++i;
      continue;
    }
    if (pattern[i] != '[') continue;
    ++i;
    if (at(i) == '!' || at(i) == '^') ++i;
    if (at(i) == ']') ++i;  // the first one is a character like others
    for (; at(i) != ']'; ++i) {
      if (at(i) == '/') return true;
      if (at(i) == '\\') {
        ++i;
      } else if (at(i) == '[' && at(i + 1) == ':') {  // [:digit:]
        const std::size_t end = pattern.find(":]", i + 2);
        if (end != pattern.npos) i = end + 1;
      }
    }
  }
  return false;
}

FilePatterns::FilePatterns(const std::vector<std::string>& patterns, const std::string& directory) {
  for (const std::string& pattern : patterns) {
    const bool negated = pattern.starts_with('!');
    const std::string text = negated ? pattern.substr(1) : pattern;
    const std::string path = absolute_path(escaped(directory), text);
    rules_.emplace_back().add(path, "");
    negated_.push_back(negated);
    if (negated) continue;
    Pattern p;
    bool literal = true;
    for (std::string& part : util::split(path.substr(1), '/')) {
      literal = literal && !is_pattern(part);
      if (literal) p.root += "/" + plain(part);
      p.parts.push_back(std::move(part));
    }
    patterns_.push_back(std::move(p));
  }
}

bool FilePatterns::mean(const std::string& path) const {
  if (path.find("/.git/") != path.npos || path.find("/.mlops/") != path.npos) return false;
  for (std::size_t i = rules_.size(); i-- > 0;) {  // the last one that fits decides
    if (rules_[i].ignores(std::string_view(path).substr(1), false)) return !negated_[i];
  }
  return false;
}

bool FilePatterns::lead_into(const std::string& folder) const {
  const std::vector<std::string> parts = util::split(std::string_view(folder).substr(1), '/');
  return std::ranges::any_of(patterns_, [&](const Pattern& pattern) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i == pattern.parts.size() || pattern.parts[i] == "**") return true;
      if (::fnmatch(pattern.parts[i].c_str(), parts[i].c_str(), 0) != 0) return false;
    }
    return true;
  });
}

void FilePatterns::find_below(const std::string& folder, std::vector<std::string>& files,
                              const std::function<void(const std::string&)>& on_folder) const {
  if (on_folder) on_folder(folder);
  std::error_code error;
  std::vector<std::string> folders;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    std::error_code ignored;
    // A link to a folder is not followed, as nowhere else; one to a file stands for it.
    if (it->is_directory(ignored) && !it->is_symlink(ignored)) {
      if (!is_private(it->path().filename().string()) && lead_into(path)) folders.push_back(path);
    } else if (mean(path) && it->is_regular_file(ignored)) {
      files.push_back(path);
    }
  }
  if (files.size() > most_files)
    throw Error(ExitCode::io, "a trigger looks at more than " + std::to_string(most_files) + " files",
                "name a part of them");
  for (const std::string& path : folders) find_below(path, files, on_folder);
}

std::vector<std::string> FilePatterns::find(const std::function<void(const std::string&)>& on_folder) const {
  std::vector<std::string> files;
  for (const Pattern& pattern : patterns_) {
    std::string root = pattern.root.empty() ? "/" : pattern.root;
    if (util::is_directory(root)) {
      find_below(root, files, on_folder);
      continue;
    }
    std::error_code error;
    if (fs::is_regular_file(root, error) && mean(root)) files.push_back(root);
    do root = fs::path(root).parent_path().string();
    while (!util::is_directory(root));
    if (on_folder) on_folder(root);
  }
  std::ranges::sort(files);
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

}  // namespace mlops::pipeline
