// From the store to a remote.
#pragma once

#include "store/gc.hpp"
#include "store/objects.hpp"
#include "store/remote.hpp"
#include "store/remote_catalog.hpp"

#include <cstdint>
#include <vector>

namespace mlops::store {

struct PushOptions {
  bool dry_run = false;
  bool check = false;  ///< ask for all contents, also for those that were seen there lately
};

struct PushResult {
  std::uint64_t objects = 0, bytes = 0;  ///< sent, or to be sent
  std::uint64_t packs = 0;               ///< that small ones went into
  std::uint64_t there = 0;               ///< not sent: the remote has them
  std::uint64_t absent = 0;              ///< wanted, but not in the store
  std::uint64_t damaged = 0;             ///< in the store, but not what their names say; quarantined
};

/// Sends what `roots` reach and the remote lacks. What was sent until an Error stays there, and is not sent
/// again.
PushResult push_objects(Objects& objects, Remote& remote, RemoteCatalog& catalog,
                        const std::vector<Root>& roots, const PushOptions& options,
                        const OnProgress& on_progress);

}  // namespace mlops::store
