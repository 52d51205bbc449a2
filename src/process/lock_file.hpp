#pragma once

#include "process/identity.hpp"
#include "util/fd.hpp"

#include <optional>
#include <string>

namespace mlops::process {

/// An exclusive lock that the kernel drops when its holder dies, on a file that is never deleted. It is an
/// open-file-description lock: it can be asked for without being taken, so a look never disturbs a holder.
class LockFile {
 public:
  /// Takes the lock and writes the holder's identity into the file; nullopt if someone holds it.
  /// Throws Error(io) if the file cannot be opened.
  static std::optional<LockFile> try_lock(const std::string& path);

  /// Waits for the lock, `limit_ms` at most; then throws Error(busy) naming `what` and the holder.
  static LockFile lock(const std::string& path, const std::string& what, int limit_ms);

  static bool is_locked(const std::string& path);

  /// Who holds it, as far as the file tells.
  static std::optional<Identity> holder(const std::string& path);

 private:
  explicit LockFile(util::Fd fd) : fd_(std::move(fd)) {}
  util::Fd fd_;
};

}  // namespace mlops::process
