// A process of this program that works for the daemon and says what it does: line by line, on a pipe.
#pragma once

#include "process/identity.hpp"
#include "util/fd.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::daemon {

class Helper {
 public:
  /// `mlops -w ROOT ARGUMENTS…`; `as_fd_3`, if given, is what it finds as descriptor 3. Throws Error(io).
  Helper(const std::string& root, const std::vector<std::string>& arguments, int as_fd_3 = -1);

  /// Readable when it has said something, or has ended.
  int fd() const { return pipe_.get(); }
  /// The lines that are whole; nullopt when it has ended and all was read.
  std::optional<std::vector<std::string>> lines();
  void signal(int number) const { process::signal_process(identity_, number); }

 private:
  util::Fd pipe_;
  process::Identity identity_;
  std::string rest_;
};

}  // namespace mlops::daemon
