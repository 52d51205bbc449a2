// What the index remembers of the files in one directory: a row of the table `directories`.
#pragma once

#include "store/snapshot.hpp"

#include <string>
#include <string_view>

namespace mlops::store {

struct IndexedFile {
  std::string_view name;  ///< without directories
  FileStamp stamp;
  util::Digest digest;
};

/// Writes a row; files must come in the order of their names.
class IndexWriter {
 public:
  void add(const IndexedFile& file);
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

/// Reads a row in order. A row of another form is as good as empty.
class IndexReader {
 public:
  explicit IndexReader(std::string_view text);
  /// The file called `name`, or null. Names must be asked for in order.
  const IndexedFile* find(std::string_view name);

 private:
  bool next();
  std::string_view rest_;
  IndexedFile file_;
  bool valid_ = false;
};

}  // namespace mlops::store
