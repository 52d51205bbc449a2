#include "process/step_log.hpp"

#include "process/run_files.hpp"
#include "util/digest.hpp"
#include "util/failpoint.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace mlops::process {

std::string file_stem(const std::string& step) {
  constexpr std::size_t longest = 200;
  std::string stem;
  for (const char c : step) {
    if (c == '/') {
      stem += "%2F";
    } else if (c == '%') {
      stem += "%25";
    } else {
      stem += c;
    }
  }
  if (stem == "." || stem == "..") return "%" + stem;
  if (stem.size() <= longest) return stem;
  return stem.substr(0, longest - 17) + "%" + util::sha256(step).substr(0, 16);
}

std::string log_name(const std::string& step, int attempt) {
  return file_stem(step) + "." + std::to_string(attempt) + ".log";
}

bool StepLog::wants_mark(Stream stream, std::int64_t now_ms) const {
  if (marks_ >= close_marks) return written_ - last_mark_at_ >= later_mark_distance;
  return last_mark_ms_ < 0 || stream != last_stream_ || now_ms - last_mark_ms_ >= 100;
}

void StepLog::mark(Stream stream, std::int64_t now_ms) {
  char line[96];
  const int length = std::snprintf(line, sizeof line, "%d.%d %llu %c %lld\n", key_.step, key_.attempt,
                                   static_cast<unsigned long long>(written_), static_cast<char>(stream),
                                   static_cast<long long>(now_ms));
  // The index is a convenience: without it the log itself is still whole.
  (void)!::write(index_fd_, line, static_cast<std::size_t>(length));
  last_mark_ms_ = now_ms;
  last_mark_at_ = written_;
  last_stream_ = stream;
  ++marks_;
}

void StepLog::append(Stream stream, std::string_view bytes, std::int64_t now_ms) {
  if (bytes.empty()) return;
  if (wants_mark(stream, now_ms)) mark(stream, now_ms);
  keep(bytes);
}

void StepLog::keep(std::string_view bytes) {
  while (!bytes.empty() && error_ == 0) {
    std::uint64_t part = bytes.size();
    std::size_t done = 0;
    if (written_ < head_) {
      part = std::min(part, head_ - written_);
      done = write_at(head_file_, path_, bytes.substr(0, part), written_);
    } else if (tail_ > 0) {
      const std::uint64_t at = (written_ - head_) % tail_;
      part = std::min(part, tail_ - at);
      done = write_at(tail_file_, run_files::log_tail(path_), bytes.substr(0, part), at);
    } else {
      done = bytes.size();
    }
    written_ += done;
    bytes.remove_prefix(done);
  }
  // Nothing is kept after an error: a log with holes would pass for a whole one.
  written_ += bytes.size();
  lost_ += bytes.size();
}

// One write. Returns how many bytes are on disk; if none, error_ says why.
std::size_t StepLog::write_at(util::Fd& file, const std::string& path, std::string_view bytes,
                              std::uint64_t at) {
  bool& made = &file == &head_file_ ? head_made_ : tail_made_;
  if (!file) file.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (made ? 0 : O_TRUNC), 0600));
  made = made || file;
  error_ = file ? util::failpoint("log_write") : errno;
  while (error_ == 0) {
    const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (n > 0) return static_cast<std::size_t>(n);
    if (n == 0 || errno != EINTR) error_ = n == 0 ? EIO : errno;
  }
  return 0;
}

void StepLog::close_files() {
  head_file_.reset();
  tail_file_.reset();
}

std::uint64_t StepLog::dropped() const {
  const std::uint64_t kept = head_ + tail_;
  const std::uint64_t tried = written_ - lost_;
  return lost_ + (tried > kept ? tried - kept : 0);
}

std::uint64_t read_log_tail(const std::string& log_path, std::uint64_t total, std::uint64_t head,
                            std::uint64_t tail_cap, std::string& out) {
  if (total <= head) return 0;
  const util::Fd fd(::open(run_files::log_tail(log_path).c_str(), O_RDONLY | O_CLOEXEC));
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
