// Writing dvc.lock: entries are replaced in place, new ones come at the end in the order in which DVC would
// have run their stages, whatever the order they finished in.
#pragma once

#include <mlops/dvc.hpp>

#include "util/fd.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mlops::dvc {

/// One dvc.lock. Not thread-safe.
class LockWriter {
 public:
  /// `guard` is the lock file of DVC itself, held while this one is written.
  LockWriter(std::string path, std::string guard) : path_(std::move(path)), guard_(std::move(guard)) {}

  /// Takes effect with save(). `rank` orders the entries that are new.
  void set(const std::string& stage, OrderedJson entry, int rank);
  bool dirty() const { return !changes_.empty(); }

  /// Reads the file again if others have written to it, and writes it if anything differs. Throws Error(io),
  /// and BadFile if what is there cannot be read.
  void save();

 private:
  struct Entry {
    std::string stage;
    std::string text;
  };
  void read();

  std::string path_, guard_;
  std::map<std::string, std::pair<OrderedJson, int>> changes_;
  std::vector<Entry> entries_;
  std::map<std::string, int> appended_;  // new entries of this process, with their ranks
  std::string rest_;
  std::string text_;  // of the file as it was last read or written
  bool known_ = false;
};

/// Holds a lock file of DVC. It does so only while it reads and writes, not while commands run, so a few
/// seconds are long: then it goes on without.
util::Fd hold_lock_of_dvc(const std::string& path);

/// Replaces a file of the project: the old mode stays, a new one follows the umask. Throws Error(io).
void write_project_file(const std::string& path, const std::string& text);

}  // namespace mlops::dvc
