// The run's `attempts` file, as its keeper writes it.
#pragma once

#include "util/fd.hpp"

#include <string>

namespace mlops::process {

class JournalFile {
 public:
  /// Opens for appending; a file that ends in a torn line is gone on with all the same. Throws Error(io).
  explicit JournalFile(const std::string& path);

  /// Appends a line (given without its newline). Returns 0 or an errno value, and then nothing of the line
  /// counts.
  int append(const std::string& line);

 private:
  void take_back(std::size_t bytes);

  util::Fd file_;
  bool torn_ = false;  ///< the file does not end in a newline
};

}  // namespace mlops::process
