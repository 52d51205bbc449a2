#include "process/step_log.hpp"

#include "util/failpoint.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace mlops::process {

std::string log_name(const std::string& step, int attempt) {
  return step + "." + std::to_string(attempt) + ".log";
}

void StepLog::append(Stream stream, std::string_view bytes, std::int64_t now_ms) {
  if (bytes.empty()) return;
  if (last_mark_ms_ < 0 || stream != last_stream_ || now_ms - last_mark_ms_ >= 100) {
    char line[96];
    const int length = std::snprintf(line, sizeof line, "%d.%d %llu %c %lld\n", key_.step, key_.attempt,
                                     static_cast<unsigned long long>(written_), static_cast<char>(stream),
                                     static_cast<long long>(now_ms));
    // The index is a convenience: without it the log itself is still whole.
    (void)!::write(index_fd_, line, static_cast<std::size_t>(length));
    last_mark_ms_ = now_ms;
    last_stream_ = stream;
  }
  keep(bytes);
}

void StepLog::keep(std::string_view bytes) {
  if (error_ != 0) {
    written_ += bytes.size();
    lost_ += bytes.size();
    return;
  }
  if (written_ < head_) {
    const std::string_view part = bytes.substr(0, std::min<std::uint64_t>(bytes.size(), head_ - written_));
    if (!head_file_) {
      head_file_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      if (!head_file_) error_ = errno;
    }
    if (error_ == 0) error_ = util::failpoint("log_write");
    if (error_ == 0) error_ = util::write_all(head_file_.get(), part);
    if (error_ != 0) return keep(bytes);
    written_ += part.size();
    bytes.remove_prefix(part.size());
  }
  while (!bytes.empty() && error_ == 0) {
    if (tail_ == 0) {
      written_ += bytes.size();
      return;
    }
    if (!tail_file_) {
      tail_file_.reset(::open((path_ + ".tail").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      if (!tail_file_) {
        error_ = errno;
        return keep(bytes);
      }
    }
    const std::uint64_t at = (written_ - head_) % tail_;
    const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), tail_ - at));
    const ssize_t n = ::pwrite(tail_file_.get(), bytes.data(), part, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      error_ = n < 0 ? errno : EIO;
      return keep(bytes);
    }
    written_ += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::uint64_t StepLog::dropped() const {
  const std::uint64_t kept = head_ + tail_;
  const std::uint64_t tried = written_ - lost_;
  return lost_ + (tried > kept ? tried - kept : 0);
}

std::uint64_t read_log_tail(const std::string& log_path, std::uint64_t total, std::uint64_t head,
                            std::uint64_t tail_cap, std::string& out) {
  if (total <= head) return 0;
  const util::Fd fd(::open((log_path + ".tail").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return 0;
  const std::uint64_t beyond = total - head;
  const std::uint64_t kept = std::min(beyond, tail_cap);
  const std::uint64_t begin = beyond > tail_cap ? beyond % tail_cap : 0;
  const std::size_t start = out.size();
  out.resize(start + kept);
  const auto read_at = [&](std::uint64_t offset, std::uint64_t to, std::uint64_t count) {
    return ::pread(fd.get(), out.data() + start + to, count, static_cast<off_t>(offset));
  };
  const std::uint64_t first = std::min(kept, tail_cap - begin);
  std::uint64_t got = 0;
  if (const ssize_t n = read_at(begin, 0, first); n > 0) got += static_cast<std::uint64_t>(n);
  if (got == first && kept > first) {
    if (const ssize_t n = read_at(0, first, kept - first); n > 0) got += static_cast<std::uint64_t>(n);
  }
  out.resize(start + got);
  return got;
}

}  // namespace mlops::process
