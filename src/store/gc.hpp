// Removing what nothing needs any more.
#pragma once

#include "store/objects.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mlops::store {

/// Content that must stay.
struct Root {
  util::Digest digest;
  bool directory = false;
};

struct GcOptions {
  bool dry_run = false;
  /// Objects younger than this stay: somebody may be about to refer to them.
  std::chrono::seconds grace = std::chrono::hours(1);
};

struct GcResult {
  std::uint64_t kept_objects = 0, kept_bytes = 0;
  std::uint64_t removed_objects = 0, removed_bytes = 0;
  std::uint64_t young_objects = 0;    ///< not needed, but too young to go
  std::uint64_t missing_objects = 0;  ///< needed, but not here
  std::uint64_t packs_rewritten = 0;
};

/// Removes all objects that no root reaches. Only one may run at a time: Error(busy). Publishers may go on
/// meanwhile.
GcResult collect_garbage(Objects& objects, const std::vector<Root>& roots, const GcOptions& options);

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
