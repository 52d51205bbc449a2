// What steps read and no step makes, given to the store so that a run can be reproduced.
#pragma once

#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <vector>

namespace mlops::engine {

/// Up to this size (summed over a folder) an input is kept without being asked.
inline constexpr std::uint64_t small_input = 8u << 20;

/// Gives those of `inputs` that still are what they were to the store: whole, or of a folder that is too
/// large its list of files. Returns those with what is new of them. Throws Error(io).
std::vector<ArtifactRecord> keep_inputs(const std::vector<ArtifactRecord>& inputs, bool large_too,
                                        const Workspace& workspace, store::Objects& objects,
                                        store::Snapshots& snapshots);

/// Where the file of a record lies, absolute.
std::string path_of_record(const Workspace& workspace, const std::string& path);

}  // namespace mlops::engine
