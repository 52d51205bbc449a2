// Open-file-description locks: dropped by the kernel with the last copy of the descriptor, and able to be
// asked for without being taken.
#pragma once

#include <fcntl.h>

namespace mlops::util {

/// `type` is F_WRLCK, F_RDLCK or F_UNLCK.
struct flock whole_file_lock(short type);

/// Takes a write lock; false if it was not free within `limit_ms`. Throws Error(io).
bool lock_fd(int fd, int limit_ms);
void unlock_fd(int fd);

void pause_us(long us);

}  // namespace mlops::util
