// Reading a file to its digest and, if wanted, into the store, in one pass.
#pragma once

#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <sys/stat.h>

#include <optional>
#include <string>

namespace mlops::store {

struct ReadFile {
  util::Digest digest;
  FileStamp stamp;  ///< as it was before and after reading
  bool executable = false;
  bool settled = true;  ///< false: it was changed so recently that a further change might leave no trace
};

/// Reads `path`; if `publisher` is given, the store has its bytes after the next commit: by a clone where the
/// file system can make one, else by a copy. A file that changes meanwhile is read again, a few times.
/// `now_ns` is the coarse clock from before the file was looked at. Throws Error(io).
ReadFile read_file(const std::string& path, Objects& objects, Publisher* publisher);

/// As read_file(), for a file of less than `small_object` that was seen with `stamp` just now: none if it has
/// changed since. A look less counts where files are many.
std::optional<ReadFile> read_unchanged(const std::string& path, const FileStamp& stamp, Publisher* publisher);

FileStamp stamp_of(const struct stat& st);

/// The clock that file systems stamp changes with: a change made later has this time or a later one.
std::int64_t coarse_clock_ns();

}  // namespace mlops::store
