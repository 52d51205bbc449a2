// DVC's cache, .dvc/cache/files/md5, read and written in place: a file per content, named by its MD5 and of
// mode 0444; a directory is a content that lists its files.
#pragma once

#include "dvc/hasher.hpp"

#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

namespace mlops::dvc {

/// What is wanted at a path.
struct Wanted {
  std::string md5;  ///< ends in ".dir" for a directory
  Hash hash = Hash::md5;
  bool executable = false;
};

class ContentCache {
 public:
  /// `link_types`: reflink, hardlink, symlink, copy; the first that works is used.
  ContentCache(std::string directory, std::vector<std::string> link_types);

  /// True if the content is there, all files of a directory included. As DVC has it, mode 0444 vouches for a
  /// file's bytes; one of another mode is read, and removed if it is damaged.
  bool has(const Wanted& wanted);

  /// The files of a directory's content; nullopt if it is absent or damaged.
  std::optional<std::vector<TreeFile>> tree(const Wanted& wanted);

  /// Keeps what lies at `path`, as `content` (with its tree) says. Durable when it returns. Throws Error(io),
  /// also if a file has changed since it was looked at.
  void add(const std::string& path, const Content& content);

  /// Replaces what lies at `path` by a link to the cache, where links are what is configured. A link that the
  /// stage has made becomes a file in any case, as with DVC.
  void link(const std::string& path, const Content& content);

  /// Puts the content at `path`. Every byte is compared with its name on the way: false if something is
  /// absent or damaged, and what is damaged is removed. `now` is what lies there, so that only differences
  /// are written. With `copy`, no link is made whatever is configured.
  bool check_out(const Wanted& wanted, const std::string& path, const std::optional<Content>& now, bool copy);

  std::string path_of(const std::string& md5, Hash hash) const;
  const std::string& directory() const { return directory_; }

 private:
  bool has_file(const std::string& md5, Hash hash);
  bool place(const std::string& md5, Hash hash, bool executable, const std::string& path, bool copy);
  void list(Hash hash);

  std::string directory_;
  std::vector<std::string> link_types_;
  std::unordered_set<std::string> listed_[2];  // by Hash, once many are asked for
  bool is_listed_[2] = {false, false};
};

/// Makes a file that is linked to the cache, or those in a folder, files of their own, which can be written
/// to. Symbolic links only if they lead below `cache`, or if that is empty.
void unprotect(const std::string& path, const std::string& cache = {});

}  // namespace mlops::dvc
