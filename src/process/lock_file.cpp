#include "process/lock_file.hpp"

#include <mlops/error.hpp>

#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/time.hpp"

#include <fcntl.h>

#include <cerrno>
#include <filesystem>

namespace mlops::process {

namespace {

// A process that the holder was just starting when it died has the lock too, until it has become another
// program. Whoever asks in that moment waits for its end: true if there is something to wait for.
bool is_passing(const std::string& path, std::int64_t since) {
  if (util::monotonic_ms() - since > 1'000) return false;
  const auto holder = LockFile::holder(path);
  if (!holder || holder->boot_id != boot_id() || is_alive(to_string(*holder))) return false;
  util::pause_us(1'000);
  return true;
}

}  // namespace

std::optional<LockFile> LockFile::try_lock(const std::string& path) {
  // What lies behind a link is not ours to write to.
  util::Fd fd = util::open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW);
  struct flock lock = util::whole_file_lock(F_WRLCK);
  const std::int64_t start = util::monotonic_ms();
  while (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) throw_errno("cannot lock '" + path + "'", errno);
    if (!is_passing(path, start)) return std::nullopt;
  }
  const std::string text = to_string(self()) + "\n";
  int error = ::ftruncate(fd.get(), 0) != 0 ? errno : util::write_all(fd.get(), text);
  if (error != 0) throw_errno("cannot write '" + path + "'", error);
  return LockFile(std::move(fd));
}

LockFile LockFile::lock(const std::string& path, const std::string& what, int limit_ms) {
  const std::int64_t start = util::monotonic_ms();
  while (true) {
    if (auto lock = try_lock(path)) return std::move(*lock);
    if (util::monotonic_ms() - start > limit_ms) {
      const auto who = holder(path);
      throw Error(ExitCode::busy,
                  what + " is held by " + (who ? "process " + std::to_string(who->pid) : "another process"),
                  "wait for it to end, or see `mlops status`");
    }
    util::pause_us(2'000);
  }
}

bool LockFile::is_locked(const std::string& path) {
  const util::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return false;
  const std::int64_t start = util::monotonic_ms();
  do {
    // Asking for a read lock is enough: it conflicts with the holder's write lock.
    struct flock lock = util::whole_file_lock(F_RDLCK);
    if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return false;
  } while (is_passing(path, start));
  return true;
}

std::optional<Identity> LockFile::holder(const std::string& path) {
  std::error_code error;
  // A pipe would be waited for.
  if (!std::filesystem::is_regular_file(std::filesystem::symlink_status(path, error))) return std::nullopt;
  return parse_identity(util::read_file_if_exists(path).value_or(""));
}

}  // namespace mlops::process
