// Whether the store has what the records say, and its objects are what their names say.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace mlops::engine {

/// A version of a dataset, or a directory that a run made, of which parts are not in the store. An output of
/// which nothing is there is none: a gc was told to let it go.
struct NotWhole {
  std::string name, hint, sha256;
  std::uint64_t missing = 0;
  bool of_dataset = false;
};

struct StoreCheck {
  std::uint64_t good = 0, bytes = 0;  ///< objects
  std::vector<std::string> damaged;   ///< digests of objects that are not what they should be
  std::vector<std::string> packs;     ///< files of packs that are gone or cut off, with objects in the index
  bool noted = false;  ///< the store knows that something is missing: nothing is taken from it unseen
  std::vector<NotWhole> not_whole;
};

enum class StoreLook {
  at_sizes,  ///< changes nothing
  at_bytes,  ///< reads all; damaged objects are set aside, as whenever one is read
  to_mend,   ///< at_sizes, and what is found is not looked for any more
};
StoreCheck check_store(const Workspace& workspace, db::Connection& connection, StoreLook look);

}  // namespace mlops::engine
