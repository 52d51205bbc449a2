#include "util/fd_lock.hpp"

#include <mlops/error.hpp>

#include "util/time.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>

namespace mlops::util {

struct flock whole_file_lock(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

void pause_us(long us) {
  const timespec time{us / 1'000'000, us % 1'000'000 * 1000};
  ::nanosleep(&time, nullptr);
}

bool lock_fd(int fd, int limit_ms) {
  struct flock lock = whole_file_lock(F_WRLCK);
  const std::int64_t start = monotonic_ms();
  // Short waits that grow, different in each process: the kernel has no blocking lock with a time limit.
  for (long wait = 50;; wait = std::min(wait * 2, 4'000L)) {
    if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) throw_errno("cannot lock a file", errno);
    if (monotonic_ms() - start > limit_ms) return false;
    pause_us(wait + ::getpid() * 7919L % wait);
  }
}

void unlock_fd(int fd) {
  struct flock lock = whole_file_lock(F_UNLCK);
  ::fcntl(fd, F_OFD_SETLK, &lock);
}

}  // namespace mlops::util
