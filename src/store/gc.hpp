// Removing what nothing needs any more.
//
// gc marks what the roots reach, then sweeps the rest. Others may publish and refer meanwhile: what they have
// published, refreshed or hold since their lease began stays (store/lease.hpp), and each removal is decided
// anew in the moment in which it is made (Objects::Moment). When gc dies half-way, the mark "incomplete"
// stays on the store, and publishers look at each object instead of trusting the nodes above.
#pragma once

#include "store/lease.hpp"
#include "store/objects.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace mlops::store {

struct GcOptions {
  bool dry_run = false;
  /// Objects younger than this stay: somebody may be about to refer to them.
  std::chrono::seconds grace = std::chrono::hours(1);
};

struct GcCount {
  std::uint64_t objects = 0, bytes = 0;
};

struct GcResult {
  std::array<GcCount, keepers> kept;  ///< by Keeper
  GcCount removed;
  std::uint64_t waiting_bytes = 0;    ///< removed, but in packs that are not worth rewriting yet
  std::uint64_t missing_objects = 0;  ///< needed, but not here
  std::uint64_t absent_outputs = 0;   ///< of recorded runs, of which nothing is here
  std::uint64_t packs_rewritten = 0;
  bool sound = true;  ///< below each node that is here, all is here

  GcCount all_kept() const;
};

/// Removes all objects that no root reaches. `find_roots` is asked when leases that end are kept already: who
/// has recorded what it relied on, and ended, is found in one or the other. Only one may run at a time:
/// Error(busy).
GcResult collect_garbage(Objects& objects, const std::function<std::vector<Root>()>& find_roots,
                         const GcOptions& options);

/// One word for machines, and a few for people: "recorded runs".
const char* to_string(Keeper keeper);
const char* words_for(Keeper keeper);

struct StoreUsage {
  std::uint64_t loose_objects = 0, loose_bytes = 0;
  std::uint64_t packs = 0, packed_objects = 0, packed_bytes = 0;
  std::uint64_t quarantined = 0;
};
StoreUsage usage_of(Objects& objects);

/// Calls `on_object` for every object that the store has.
void for_each_object(Objects& objects,
                     const std::function<void(const util::Digest&, std::uint64_t size)>& on_object);

}  // namespace mlops::store
