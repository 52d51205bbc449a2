// All that lies below a directory: names, kinds and stamps, with the digests that the index still vouches
// for.
#pragma once

#include "store/snapshot.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

struct ScannedItem {
  std::uint32_t name_at = 0, name_size = 0;  ///< in the directory's `names`
  std::int32_t child = -1;                   ///< of a directory: its number
  FileMode mode = FileMode::file;
  bool known = false;    ///< `digest` comes from the index
  bool settled = false;  ///< may be remembered
  FileStamp stamp;
  util::Digest digest;
};

struct ScannedDirectory {
  std::string path;  ///< below the root, "" or ending in '/'
  std::string names;
  std::vector<ScannedItem>
      items;                 ///< in the order of their paths: a directory's name counts as ending in '/'
  bool to_remember = false;  ///< the index knows less than is known now

  std::string_view name(const ScannedItem& item) const {
    return std::string_view(names).substr(item.name_at, item.name_size);
  }
};

struct DirectoryScan {
  std::string root;
  std::vector<std::unique_ptr<ScannedDirectory>> directories;  ///< the first is the root

  std::string full_path(const ScannedDirectory& directory) const;
  std::string full_path(const ScannedDirectory& directory, const ScannedItem& item) const;
  /// Every item that is no directory, and every directory without items, in the order of the paths.
  void for_each(const std::function<void(ScannedDirectory&, ScannedItem&)>& on_item,
                const std::function<void(const ScannedDirectory&)>& on_empty) const;
};

/// Walks with `threads` threads; `recall` gives the index row of an absolute path. Throws Error(io).
DirectoryScan scan_directory(const std::string& root, int threads,
                             const std::function<std::string(const std::string&)>& recall);

/// Runs `work` for 0 … count-1 with up to `threads` threads; the first exception is thrown on when all have
/// ended.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

}  // namespace mlops::store
