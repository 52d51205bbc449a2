// What a path holds, by digest: files that have not changed since they were last read are not read again.
#pragma once

#include "store/objects.hpp"
#include "store/tree.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mlops::store {

/// The content of a file or of a directory (a tree, see store/tree.hpp).
struct Content {
  util::Digest digest;
  std::uint64_t size = 0;   ///< bytes, summed over a directory
  std::uint64_t files = 1;  ///< 1 for a file
  bool directory = false;
  bool executable = false;
  bool operator==(const Content&) const = default;
};

/// tree, executable or file, as ArtifactRecord::form.
const char* form_of(const Content& content);

/// What is known of one file without reading it. Times in nanoseconds since the epoch.
struct FileStamp {
  std::uint64_t size = 0, inode = 0;
  std::int64_t mtime = 0, ctime = 0;
  bool operator==(const FileStamp&) const = default;
};

/// Digests paths and remembers files by size, inode and times in the index of the store. A file that was
/// changed in the very tick in which it was read is not remembered, as git has it ("racily clean").
/// Thread-safe.
class Snapshots {
 public:
  /// `threads` read files at the same time; 0: as many as there are cores.
  explicit Snapshots(Objects& objects, int threads = 0);
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  /// Digests the file or directory at `path` (absolute); nullopt if there is none. Symbolic links inside a
  /// directory are recorded and not followed, a link at `path` itself is. Throws Error(io), also when a file
  /// changes again and again while it is read. `stamp` becomes that of the file if it is one and is
  /// remembered by it.
  std::optional<Content> look(const std::string& path, FileStamp* stamp = nullptr);

  /// As look(), and hands all that the store does not have to `publisher`.
  std::optional<Content> keep(const std::string& path, Publisher& publisher);

  /// Paths that will be looked at soon: what the index knows of them is read at once.
  void expect(std::vector<std::string> paths);

  /// As look(); `on_entry` gets every file of a directory, in order of path.
  std::optional<Content> look_into(const std::string& path,
                                   const std::function<void(const TreeEntry&)>& on_entry);

  /// As look(), of a directory, and hands the list of its files, but no contents, to `publisher`. Returns the
  /// list's name (see store/tree.hpp) beside the content; nullopt if there is no directory.
  std::optional<std::pair<Content, util::Digest>> list(const std::string& path, Publisher& publisher);

  /// Writes what was learnt to the index. Losing it costs time, nothing else.
  void save();

  /// Files whose bytes were read so far.
  std::uint64_t files_read() const { return files_read_; }

 private:
  struct Take;  // one look at a directory
  using OnEntry = std::function<void(const TreeEntry&)>;
  std::optional<Content> take(const std::string& path, Publisher* publisher, const OnEntry& on_entry,
                              FileStamp* settled = nullptr);
  void remember(const std::string& path, std::string entries);
  std::string recall(const std::string& path);

  Objects& objects_;
  int threads_;
  std::mutex mutex_;
  std::map<std::string, std::string> learnt_;  // directories and single files not yet written to the index
  std::unordered_map<std::string, std::string> expected_;  // rows of the index, empty where it has none
  std::size_t learnt_bytes_ = 0;
  std::atomic<std::uint64_t> files_read_ = 0;
};

}  // namespace mlops::store
