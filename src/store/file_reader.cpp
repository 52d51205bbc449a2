#include "store/file_reader.hpp"

#include <mlops/error.hpp>

#include "util/fd_lock.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

namespace mlops::store {

namespace {

constexpr std::size_t read_size = 1 << 18;
constexpr int most_tries = 12;

// Digests the rest of `from`, and writes it to `to` if that is a descriptor.
util::Digest pump(int from, int to, const std::string& path, const Objects& objects) {
  thread_local std::vector<char> buffer(read_size);
  util::Sha256 hash;
  while (true) {
    if (objects.stopped()) throw Error(ExitCode::interrupted, "stopped while reading '" + path + "'");
    const ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read '" + path + "'", errno);
    if (n == 0) return hash.digest();
    const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
    hash.update(part);
    if (to < 0) continue;
    if (const int error = util::write_all(to, part)) throw_errno("cannot store '" + path + "'", error);
  }
}

// Of a file that grows meanwhile a part: whoever looks at its size afterwards notices.
util::Digest read_small(const util::Fd& fd, const std::string& path, std::uint64_t expected,
                        Publisher* publisher) {
  thread_local std::vector<char> buffer(small_object);
  std::size_t size = 0;
  while (size < expected) {
    const ssize_t n = ::read(fd.get(), buffer.data() + size, buffer.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read '" + path + "'", errno);
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  const std::string_view content(buffer.data(), size);
  return publisher ? publisher->add(content) : util::digest_of(content);
}

// A copy is digested as it is written. A clone is digested by its source, which is in memory already: none if
// that has changed since `stamp`, and so may not be what was cloned.
std::optional<util::Digest> store_large(const util::Fd& fd, const std::string& path, const FileStamp& stamp,
                                        Objects& objects, Publisher& publisher) {
  const std::string temporary = objects.temporary_path();
  util::Digest digest;
  try {
    const util::Fd to = util::open_file(temporary, O_RDWR | O_CREAT | O_EXCL, 0444);
    const bool cloned = ::ioctl(to.get(), FICLONE, fd.get()) == 0;
    digest = pump(fd.get(), cloned ? -1 : to.get(), path, objects);
    struct stat now {};
    if (cloned && (::fstat(fd.get(), &now) != 0 || !(stamp_of(now) == stamp))) {
      ::unlink(temporary.c_str());
      return std::nullopt;
    }
    // Begins now what the sync before publishing waits for.
    if (!cloned) ::sync_file_range(to.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  publisher.add_written(digest, temporary, stamp.size);
  return digest;
}

}  // namespace

FileStamp stamp_of(const struct stat& st) {
  const auto ns = [](const timespec& t) { return t.tv_sec * 1'000'000'000LL + t.tv_nsec; };
  return {static_cast<std::uint64_t>(st.st_size), st.st_ino, ns(st.st_mtim), ns(st.st_ctim)};
}

std::int64_t coarse_clock_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

std::optional<ReadFile> read_unchanged(const std::string& path, const FileStamp& stamp,
                                       Publisher* publisher) {
  const std::int64_t now = coarse_clock_ns();
  const util::Fd fd = util::open_file(path, O_RDONLY | O_NONBLOCK);
  ReadFile result;
  result.digest = read_small(fd, path, stamp.size, publisher);
  struct stat after {};
  if (::fstat(fd.get(), &after) != 0) throw_errno("cannot read '" + path + "'", errno);
  if (!S_ISREG(after.st_mode) || !(stamp_of(after) == stamp)) return std::nullopt;
  result.stamp = stamp;
  result.executable = (after.st_mode & S_IXUSR) != 0;
  result.settled = stamp.ctime < now;
  return result;
}

ReadFile read_file(const std::string& path, Objects& objects, Publisher* publisher) {
  for (int tries = 0; tries < most_tries; ++tries) {
    const std::int64_t now = coarse_clock_ns();
    const util::Fd fd = util::open_file(path, O_RDONLY | O_NONBLOCK);
    struct stat before {
    }, after{};
    if (::fstat(fd.get(), &before) != 0) throw_errno("cannot read '" + path + "'", errno);
    if (!S_ISREG(before.st_mode))
      throw Error(ExitCode::io, "cannot digest '" + path + "': it is no regular file");
    ReadFile result;
    result.stamp = stamp_of(before);
    result.executable = (before.st_mode & S_IXUSR) != 0;
    result.settled = result.stamp.ctime < now;
    const bool small = result.stamp.size < small_object;
    // A change in the tick in which it was last changed would leave no trace: wait for the next. Not for a
    // small file, which is read in one go, nor for long: the clock of a file server may be ahead of ours.
    if (!result.settled && !small && tries < most_tries / 2) {
      util::pause_us(2'000);
      continue;
    }
    if (small) {
      result.digest = read_small(fd, path, result.stamp.size, publisher);
    } else if (publisher) {
      const auto digest = store_large(fd, path, result.stamp, objects, *publisher);
      if (!digest) continue;
      result.digest = *digest;
    } else {
      ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
      result.digest = pump(fd.get(), -1, path, objects);
    }
    if (::fstat(fd.get(), &after) != 0) throw_errno("cannot read '" + path + "'", errno);
    if (stamp_of(after) == result.stamp) return result;
  }
  throw Error(ExitCode::io, "cannot digest '" + path + "': it changes while it is read",
              "see which process writes to it, for example with `fuser -v " + path + "`");
}

}  // namespace mlops::store
