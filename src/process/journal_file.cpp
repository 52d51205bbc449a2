#include "process/journal_file.hpp"

#include "util/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace mlops::process {

JournalFile::JournalFile(const std::string& path)
    : file_(util::open_file(path, O_RDWR | O_CREAT | O_APPEND)) {
  // A keeper that died in the middle of a line must not swallow the first one of its successor.
  const off_t size = ::lseek(file_.get(), 0, SEEK_END);
  char last = '\n';
  torn_ = size > 0 && ::pread(file_.get(), &last, 1, size - 1) == 1 && last != '\n';
}

int JournalFile::append(const std::string& line) {
  const std::string text = (torn_ ? "\n" : "") + line + "\n";
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(file_.get(), text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = n < 0 ? errno : EIO;
      if (written > 0) take_back(written);
      return error;
    }
    written += static_cast<std::size_t>(n);
  }
  torn_ = false;
  return 0;
}

// Half a line on a full disk would make one of itself and the next. Where it cannot be cut off, the next line
// begins with a newline.
void JournalFile::take_back(std::size_t bytes) {
  const off_t end = ::lseek(file_.get(), 0, SEEK_END);
  const auto length = static_cast<off_t>(bytes);
  if (end >= length && ::ftruncate(file_.get(), end - length) == 0) return;
  torn_ = true;
}

}  // namespace mlops::process
