// What a remote has. Its packs name their objects in small files, which are read once and remembered; of
// large objects it is asked in one go. What is remembered is kept under the identity that the remote gave
// itself at its first push, so that an emptied or exchanged one is noticed.
#pragma once

#include "db/locations.hpp"
#include "store/objects.hpp"
#include "store/remote.hpp"

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace mlops::store {

class RemoteCatalog {
 public:
  /// `name` is what the user calls the remote.
  RemoteCatalog(Objects& objects, Remote& remote, std::string name);

  /// Asks the remote who it is and which packs it has; false if nothing was ever pushed there. Throws
  /// Error(unreachable), also when a remote that was used before is gone from its place.
  bool open();
  /// As open(), and makes it a remote when it is none yet.
  void open_or_make();

  /// Finds out which of `digests` are there. Without `check`, what was seen there within the last week is
  /// taken to be there still.
  void look_for(const std::vector<util::Digest>& digests, bool check);
  /// Of what was looked for last.
  std::optional<db::Location> find(const util::Digest& digest) const;

  void add_pack(const std::string& pack, const std::vector<db::PackedObject>& objects);
  void add_files(const std::vector<db::Location>& files) { locations_.add_files(number_, files); }
  void forget(const db::Location& location);

  /// Records of runs that were sent or got before, with their sizes.
  std::map<std::string, std::uint64_t> runs() { return locations_.runs(number_); }
  void put_runs(const std::map<std::string, std::uint64_t>& sizes) { locations_.put_runs(number_, sizes); }

 private:
  std::optional<std::string> read_identity();
  void refresh_packs();

  Remote& remote_;
  std::string name_;
  db::Locations locations_;
  std::int64_t number_ = 0;
  std::unordered_map<util::Digest, db::Location, util::DigestHash> found_;
};

/// How far a transfer is.
struct Progress {
  std::uint64_t objects = 0, of_objects = 0;
  std::uint64_t bytes = 0, of_bytes = 0;
};
using OnProgress = std::function<void(const Progress&)>;

}  // namespace mlops::store
