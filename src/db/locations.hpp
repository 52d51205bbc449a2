// Which contents are on which remote, as far as pushes and fetches have learnt; part of the store's index. It
// says where something was, and never that something is missing.
#pragma once

#include <mlops/records.hpp>

#include "db/database.hpp"
#include "db/store_index.hpp"
#include "util/digest.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

/// A content on a remote: in a pack, or a file of its own if `pack` is empty.
struct Location {
  util::Digest digest;
  std::string pack;
  std::uint64_t offset = 0, size = 0;
  Instant seen{};
};

struct RemoteLocation {
  std::string remote;  ///< its name
  Location location;
};

/// A connection of its own to the index. Not thread-safe.
class Locations {
 public:
  /// `index_path` is that of the store's index, which exists.
  explicit Locations(const std::string& index_path)
      : database_(Database::open(index_path, Schema::store_index)) {}

  /// The number of the remote that calls itself `identity`, from now on known as `name`.
  std::int64_t remote(const std::string& name, const std::string& identity);
  /// What the remote called `name` called itself when it was last used.
  std::optional<std::string> identity_of(const std::string& name);
  /// All that is known of the remotes called `name`.
  void forget(const std::string& name);

  std::optional<Location> find(std::int64_t remote, const util::Digest& digest);
  std::vector<RemoteLocation> everywhere(const util::Digest& digest);
  std::vector<std::string> packs(std::int64_t remote);
  void add_pack(std::int64_t remote, const std::string& pack, const std::vector<PackedObject>& objects);
  void forget_pack(std::int64_t remote, const std::string& pack);
  void add_files(std::int64_t remote, const std::vector<Location>& files);
  void forget_file(std::int64_t remote, const util::Digest& digest);

  std::map<std::string, std::uint64_t> runs(std::int64_t remote);
  void put_runs(std::int64_t remote, const std::map<std::string, std::uint64_t>& sizes);

 private:
  bool is_known(std::int64_t remote);

  Database database_;
};

}  // namespace mlops::db
