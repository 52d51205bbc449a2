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
      items;  ///< in the order of their paths: a directory's name counts as ending in '/'
  bool listed = false;
  bool to_remember = false;  ///< the index knows less than is known now

  std::string_view name(const ScannedItem& item) const {
    return std::string_view(names).substr(item.name_at, item.name_size);
  }
};

/// Walks a tree of directories in portions, so that memory does not grow with the number of files:
///   do fresh = list_more(), …look at what is fresh… while (!hand_on(…));
class DirectoryWalk {
 public:
  /// `recall` gives the index row of an absolute path; `threads` call it at the same time.
  DirectoryWalk(const std::string& root, int threads, std::function<std::string(const std::string&)> recall);

  /// Lists directories, those first that are needed next. Throws Error(io).
  std::vector<ScannedDirectory*> list_more();

  struct Taker {
    std::function<void(ScannedDirectory&, ScannedItem&)> item;  ///< that is no directory
    std::function<void(const ScannedDirectory&)> empty;         ///< a directory without items
    std::function<void(ScannedDirectory&)> passed;              ///< all of it has been handed on
  };
  /// Hands on, in the order of the paths, what has been listed. True: that was all.
  bool hand_on(const Taker& taker);

  /// A passed directory is not needed any more.
  void release(ScannedDirectory& directory);

  std::string full_path(const ScannedDirectory& directory) const;
  std::string full_path(const ScannedDirectory& directory, const ScannedItem& item) const;

 private:
  friend class Lister;
  struct Place {
    ScannedDirectory* directory;
    std::size_t next;
  };
  std::string root_;
  int threads_;
  std::function<std::string(const std::string&)> recall_;
  std::vector<std::unique_ptr<ScannedDirectory>> directories_;  // by number; the first is the root
  std::vector<ScannedDirectory*> waiting_;                      // to be listed, the next one last
  std::vector<Place> open_;                                     // where hand_on() is
};

/// Runs `work` for 0 … count-1 with up to `threads` threads; the first exception is thrown on when all have
/// ended.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

}  // namespace mlops::store
