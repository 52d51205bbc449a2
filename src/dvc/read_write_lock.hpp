// DVC's list of who reads and writes which files, .dvc/tmp/rwlock: what a stage of ours reads and writes is
// in it while the stage runs, and what DVC is at is left alone.
#pragma once

#include <mlops/dvc.hpp>
#include <mlops/error.hpp>

#include <nlohmann/json.hpp>

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::dvc {

/// Absolute paths.
struct Access {
  std::vector<std::string> reads, writes;
};

/// What a stage with this working directory reads and writes.
Access access_of(const DvcStage& stage, const std::string& directory);

/// A process of DVC that is at something.
struct Holder {
  pid_t pid = 0;
  std::string command;
  std::string path;
  bool writes = false;
};

/// The list cannot be read: nobody knows what DVC is at.
struct UnknownUse : Error {
  using Error::Error;
};

/// Not thread-safe.
class ReadWriteLock {
 public:
  /// `directory` is .dvc/tmp; `pid` and `command` are what DVC tells its users of us. A `pid` of 0 takes
  /// nothing.
  ReadWriteLock(std::string directory, pid_t pid, std::string command);
  ~ReadWriteLock();
  ReadWriteLock(const ReadWriteLock&) = delete;
  ReadWriteLock& operator=(const ReadWriteLock&) = delete;

  /// Who keeps us from this access. Nobody does who is dead, has started us, or is a run of ours: those take
  /// turns by themselves. Throws UnknownUse.
  std::optional<Holder> blocker(const Access& access) const;

  /// Enters the access of a stage, or tells who keeps us from it.
  std::optional<Holder> take(int stage, Access access);
  void release(int stage);

 private:
  nlohmann::json read() const;
  void write_own(nlohmann::json list) const;
  std::optional<Holder> find_blocker(const nlohmann::json& list, const Access& access) const;

  std::string directory_, path_;
  nlohmann::json own_;
  pid_t pid_;
  std::map<int, Access> held_;  // by stage
};

}  // namespace mlops::dvc
