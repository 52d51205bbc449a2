// Reading a part of a file bit by bit.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <vector>

namespace mlops::store {

/// Hands `size` bytes from `offset` on to `sink`, piece by piece. False if there are fewer, or reading fails:
/// errno then says why, and is 0 at the end of the file.
template <typename Sink>
bool read_range(int fd, std::uint64_t offset, std::uint64_t size, const Sink& sink) {
  constexpr std::uint64_t most = 1 << 18;
  std::vector<char> buffer(std::min(most, size));
  for (std::uint64_t done = 0; done < size;) {
    const std::size_t want = std::min<std::uint64_t>(buffer.size(), size - done);
    const ssize_t n = ::pread(fd, buffer.data(), want, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = 0;
    if (n <= 0) return false;
    sink(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
    done += static_cast<std::uint64_t>(n);
  }
  return true;
}

}  // namespace mlops::store
