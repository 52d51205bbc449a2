#include "store/file_index.hpp"

#include <cstring>

namespace mlops::store {

// A row begins with the byte 1, then for each file: its name, NUL, size, inode, mtime, ctime (8 bytes each,
// in the order of this machine, as the index never leaves it) and the digest (32 bytes).
namespace {
constexpr char form = 1;
constexpr std::size_t fixed = 4 * 8 + 32;
}  // namespace

void IndexWriter::add(const IndexedFile& file) {
  if (text_.empty()) text_ += form;
  text_ += file.name;
  text_ += '\0';
  char bytes[fixed];
  std::memcpy(bytes, &file.stamp.size, 8);
  std::memcpy(bytes + 8, &file.stamp.inode, 8);
  std::memcpy(bytes + 16, &file.stamp.mtime, 8);
  std::memcpy(bytes + 24, &file.stamp.ctime, 8);
  std::memcpy(bytes + 32, file.digest.bytes.data(), 32);
  text_.append(bytes, fixed);
}

IndexReader::IndexReader(std::string_view text) : rest_(text) {
  if (rest_.empty() || rest_[0] != form) {
    rest_ = {};
    return;
  }
  rest_.remove_prefix(1);
  valid_ = next();
}

bool IndexReader::next() {
  const std::size_t end = rest_.find('\0');
  if (end == rest_.npos || rest_.size() < end + 1 + fixed) return false;
  file_.name = rest_.substr(0, end);
  const char* bytes = rest_.data() + end + 1;
  std::memcpy(&file_.stamp.size, bytes, 8);
  std::memcpy(&file_.stamp.inode, bytes + 8, 8);
  std::memcpy(&file_.stamp.mtime, bytes + 16, 8);
  std::memcpy(&file_.stamp.ctime, bytes + 24, 8);
  std::memcpy(file_.digest.bytes.data(), bytes + 32, 32);
  rest_.remove_prefix(end + 1 + fixed);
  return true;
}

const IndexedFile* IndexReader::find(std::string_view name) {
  while (valid_ && file_.name < name) valid_ = next();
  return valid_ && file_.name == name ? &file_ : nullptr;
}

}  // namespace mlops::store
