// Making a workspace's database anew: from what can still be read of the old one, and from the directories of
// runs.
#pragma once

#include <mlops/workspace.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace mlops::engine {

struct RebuildReport {
  std::string aside;               ///< where the damaged database is now; empty: there was none, or it stays
  std::uint64_t read = 0;          ///< runs that were read from the old database, as far as they are kept
  std::uint64_t from_records = 0;  ///< runs that records in their directories have brought back, or set right
  std::uint64_t from_journals = 0;        ///< runs put together from frozen definitions and exit records
  std::uint64_t runs = 0, artifacts = 0;  ///< that there are now
  std::vector<std::string> lost;          ///< what is not back, in words
};

/// Where the database is damaged or gone, it is set aside under a dated name and made anew; where it is
/// sound, it stays. Then runs that have a directory and are not in it come back. Never those that were
/// deleted. Throws Error(busy) while the workspace is in use.
RebuildReport rebuild(const Workspace& workspace);

}  // namespace mlops::engine
