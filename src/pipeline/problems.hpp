// What is wrong with a pipeline file, collected while it is read.
#pragma once

#include <mlops/error.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

class Problems {
 public:
  /// `source` is the text of the file; it must outlive this.
  Problems(std::string file, std::string_view source) : file_(std::move(file)), source_(source) {}

  void add(Location at, std::string message, std::string hint = {});
  void add(Diagnostic diagnostic) { list_.push_back(std::move(diagnostic)); }

  /// "did you mean …?"; empty once there are many problems, as the search is slow in large files.
  std::string suggest(std::string_view word, const std::vector<std::string>& candidates) const;

  /// Where the `occurrence`th `snippet` (from 0) stands in the scalar that begins at `begin`; `begin` itself
  /// if it cannot be found, as when it is written with escapes.
  Location locate(Location begin, std::string_view snippet, int occurrence) const;

  bool any() const { return !list_.empty(); }
  bool many() const { return list_.size() > 50; }
  std::vector<Diagnostic>& list() { return list_; }
  const std::string& file() const { return file_; }

  /// Throws BadFile with what was collected, in the order of the file, each once.
  void throw_if_any();

 private:
  std::string file_;
  std::string_view source_;
  std::vector<Diagnostic> list_;
};

}  // namespace mlops::pipeline
