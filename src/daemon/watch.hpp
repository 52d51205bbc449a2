// Tells when files change, by inotify: of the directories that they lie in, as editors replace files.
#pragma once

#include "util/fd.hpp"

#include <map>
#include <set>
#include <string>

namespace mlops::daemon {

class Watch {
 public:
  Watch();

  int fd() const { return fd_.get(); }
  /// `path` is absolute. Where it cannot be watched, as on some network file systems, returns false.
  bool add(const std::string& path);
  /// Those that were written, replaced or deleted since the last call.
  std::set<std::string> changed();

 private:
  util::Fd fd_;
  std::map<int, std::string> directories_;  // by watch
  std::map<std::string, int> watches_;      // by directory
  std::set<std::string> paths_;
};

}  // namespace mlops::daemon
