// Contents by MD5, as DVC names them. Files that have not changed since they were read are not read again:
// they are remembered in the index of the workspace's store.
#pragma once

#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::dvc {

/// How a file's bytes become a digest: as they are, or as DVC 2 read texts, with other line ends.
enum class Hash { md5, md5_dos2unix };

struct TreeFile {
  std::string path;  ///< below the directory
  std::string md5;
  std::string full;  ///< absolute
  store::FileStamp stamp;
};

/// A file or directory as DVC sees it.
struct Content {
  std::string md5;  ///< ends in ".dir" for a directory
  std::uint64_t size = 0;
  std::uint64_t files = 1;
  bool directory = false;
  bool executable = false;
  store::FileStamp stamp;      ///< of a file
  std::vector<TreeFile> tree;  ///< of a directory, in order; only if asked for
};

/// The JSON that stands for a directory in the cache.
std::string tree_text(const std::vector<TreeFile>& files);

/// What is left of a file when DVC 2 reads it: texts lose the carriage returns before line ends.
std::string without_carriage_returns(std::string_view bytes);

/// Thread-safe.
class Hasher {
 public:
  /// `root` is the project's; .dvcignore files are looked for from there down.
  Hasher(store::Objects& objects, std::string root, int threads = 0);

  /// The file or directory at `path` (absolute); nullopt if there is none. Throws Error(io), also for a
  /// broken link, a .dvcignore inside the directory and a file that changes while it is read.
  std::optional<Content> look(const std::string& path, Hash hash = Hash::md5, bool with_tree = false);

  /// Writes what was learnt to the index.
  void save();

 private:
  Content look_at_directory(const std::string& path, Hash hash, bool with_tree);
  std::string recall(const std::string& key);
  void remember(const std::string& key, std::string row);

  store::Objects& objects_;
  std::string root_;
  int threads_;
  std::mutex mutex_;
  std::map<std::string, std::string> learnt_;
};

}  // namespace mlops::dvc
