// From a remote into the store.
#pragma once

#include "store/gc.hpp"
#include "store/objects.hpp"
#include "store/remote.hpp"
#include "store/remote_catalog.hpp"

#include <cstdint>
#include <vector>

namespace mlops::store {

struct FetchResult {
  std::uint64_t objects = 0, bytes = 0;  ///< got, or to be got as far as that can be told
  std::uint64_t absent = 0;              ///< needed, but on the remote neither
  std::vector<util::Digest> damaged;     ///< the remote's bytes do not fit their names: not taken
};

/// Gets what `roots` reach and the store lacks. Every byte is compared with its name before it gets into the
/// store. What was got until an Error stays, and a large object that was interrupted is gone on with.
FetchResult fetch_objects(Objects& objects, Remote& remote, RemoteCatalog& catalog,
                          const std::vector<Root>& roots, bool dry_run, const OnProgress& on_progress);

}  // namespace mlops::store
