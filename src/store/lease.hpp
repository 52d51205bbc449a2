// Who uses a store at the moment. A process that is about to refer to objects has a lease, a locked file in
// leases/, which ends with it: whatever was published or refreshed since the lease began counts as young, and
// what the process holds by name is a root of gc.
//
//   "mlops lease 1 NANOSECONDS\n", then for each object held: "f DIGEST\n", or "d DIGEST\n" for a tree
#pragma once

#include "store/objects.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mlops::store {

/// Why an object stays; the first of them that fits is told. To add one: here, and in words_for() in gc.cpp.
enum class Keeper : std::uint8_t { pin, running, dataset, tag, run, in_use, young };
inline constexpr int keepers = 7;

/// Content that must stay, with all below it if it is a tree.
struct Root {
  util::Digest digest;
  bool directory = false;
  Keeper keeper = Keeper::run;
  bool may_be_missing = false;  ///< such as inputs, which the store need not have
};

/// From its construction to its end; one at a time for an Objects. One that cannot be written, on a full
/// disk, leaves its objects to gc's grace for the young.
class Lease {
 public:
  explicit Lease(Objects& objects);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  friend class Objects;
  void write(const util::Digest& digest, bool directory);  // within a Moment

  Objects& objects_;
  std::string path_;
  util::Fd file_;
};

/// The leases as gc sees them: those of living processes, and of those that have ended since gc began.
class Leases {
 public:
  /// Removes the leases of the dead. With gc.lock held: from then on a lease that ends leaves its file.
  explicit Leases(Objects& objects);

  /// What has come to be held since the last call. Within a Moment.
  std::vector<Root> news();
  /// When the oldest lease began, in nanoseconds since the epoch; none: the end of time.
  std::int64_t oldest() const { return oldest_; }

 private:
  std::string directory_;
  std::map<std::string, std::size_t> read_;  // how much of each file
  std::int64_t oldest_ = INT64_MAX;
};

/// Held by the one gc that is at work.
std::string gc_lock_path(const std::string& directory);

}  // namespace mlops::store
