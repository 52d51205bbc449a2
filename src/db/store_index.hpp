// The database beside the store: where packed objects lie, and digests of files that have not changed since
// they were read. Everything in it can be made again from the store and the files, so a damaged one is simply
// replaced.
#pragma once

#include "db/database.hpp"
#include "util/digest.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::db {

struct PackedObject {
  util::Digest digest;
  std::string pack;  ///< its name
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

/// Not thread-safe.
class StoreIndex {
 public:
  /// Opens or makes the index at `path`; `replaced()` tells that a damaged one was thrown away. One that
  /// cannot be written to is only looked at: what would add to it or take away from it does nothing.
  explicit StoreIndex(const std::string& path);
  bool replaced() const { return replaced_; }

  std::optional<PackedObject> find(const util::Digest& digest);
  /// As find() for many: tells the place of each that is there, and its pack.
  void find_all(std::span<const util::Digest> digests,
                const std::function<void(std::size_t, std::string pack)>& on_found);
  std::vector<std::string> packs();
  std::map<std::int64_t, std::string> pack_numbers();
  void for_each_object(
      const std::function<void(const util::Digest&, std::int64_t pack, std::uint64_t size)>& on_object);
  /// `objects` need not name their pack; best in the order of their digests.
  void add_pack(const std::string& pack, const std::vector<PackedObject>& objects);
  void remove_packs(const std::vector<std::string>& packs);
  void remove_objects(const std::vector<util::Digest>& digests);

  /// What is remembered of the files in a directory, in a form of the caller's; "" if nothing.
  std::string directory(std::string_view path);
  /// As directory() for many paths, in one transaction.
  void directories(const std::vector<std::string>& paths,
                   const std::function<void(const std::string& path, std::string entries)>& on_entries);
  /// An empty text forgets the directory.
  void put_directories(const std::vector<std::pair<std::string, std::string>>& entries);

 private:
  static Database open(const std::string& path, bool& replaced);

  bool replaced_ = false;
  Database database_;
};

}  // namespace mlops::db
