// Tells whose files change, by inotify: folders that appear are followed.
#pragma once

#include "pipeline/file_patterns.hpp"
#include "util/fd.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace mlops::daemon {

class TreeWatch {
 public:
  TreeWatch();

  int fd() const { return fd_.get(); }
  /// In the place of what the owner had. With `only_writes` it is not told of files that are opened, made or
  /// deleted, as readers of a database do. Returns why not every change will be heard of; empty: it will.
  std::string add(std::int64_t owner, pipeline::FilePatterns patterns, bool only_writes = false);
  void remove(std::int64_t owner);
  /// Whose files were written, made, moved or deleted since the last call.
  std::set<std::int64_t> changed();

 private:
  struct Folder {
    std::string path;
    std::set<std::int64_t> owners;
  };
  std::string watch(std::int64_t owner);
  void watch_folder(std::int64_t owner, const std::string& path, std::string& problem);
  void forget_below(const std::string& path);

  util::Fd fd_;
  std::map<int, Folder> folders_;  // by watch
  struct Owner {
    pipeline::FilePatterns patterns;
    bool only_writes = false;
  };
  std::map<std::int64_t, Owner> owners_;
};

}  // namespace mlops::daemon
