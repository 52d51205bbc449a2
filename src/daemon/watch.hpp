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
  /// `path` is absolute; what it links to is watched as well. False if that cannot be done now, as where its
  /// directory is gone: try again later.
  bool add(const std::string& path);
  /// Those that were written, replaced or deleted since the last call, as they were added.
  std::set<std::string> changed();

 private:
  bool add_one(const std::string& path, const std::string& as);

  util::Fd fd_;
  std::map<int, std::string> directories_;         // by watch
  std::map<std::string, int> watches_;             // by directory
  std::multimap<std::string, std::string> paths_;  // what lies there, and as what it was added
};

}  // namespace mlops::daemon
