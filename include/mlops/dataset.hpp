// Door to src/db: a version of a dataset, as the database has it.
#pragma once

#include <mlops/records.hpp>

#include <cstdint>
#include <string>

namespace mlops {

/// A version of a dataset. Its content is an object of the store, named by `sha256`.
struct DatasetVersion {
  std::string dataset;
  int version = 0;
  std::string path;  ///< where it lay, relative to the workspace if inside it
  std::string sha256;
  std::string form;  ///< file, executable or tree, as ArtifactRecord::form
  std::uint64_t size = 0, files = 0;
  std::uint64_t added = 0, removed = 0, changed = 0;  ///< files, against the version before
  std::string note;
  std::string user;
  Instant created_at{};
  bool pinned = false;
};

}  // namespace mlops
