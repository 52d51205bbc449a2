// The names of a pipeline's steps, as `needs:`, references and conditions may use them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace mlops::params {

class StepNames {
 public:
  /// `name` is a step; `base` its name in the file, different for one of an expansion.
  void add(const std::string& name, const std::string& base);

  /// `base` is an expansion whose steps could not be told: "base@anything" stands for it.
  void add_open(const std::string& base);

  bool contains(std::string_view name) const;

  /// The steps that `name` stands for: itself, or all of an expansion; none if it is unknown.
  std::vector<std::string> resolve(std::string_view name) const;

  /// Splits "train.v2.outputs.x" after the longest step name that is known; nullopt if none is.
  /// What follows the name starts with '.' or is empty.
  struct Split {
    std::string_view name, rest;
  };
  std::optional<Split> split(std::string_view text) const;

  /// "did you mean 'X'?" or the names listed, for a name that is not known; empty after many such calls, as
  /// the search is slow in large files.
  std::string suggest(std::string_view name) const;

 private:
  bool is_open(std::string_view name) const;

  std::unordered_map<std::string, std::vector<std::string>> expansions_;  // base to names
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> open_;
  std::vector<std::string> bases_;  // in the order of the file
  mutable int suggestions_ = 0;
};

}  // namespace mlops::params
