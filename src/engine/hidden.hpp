// What a traced step opened and does not declare, without what belongs to the system rather than to the
// project.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/records.hpp>
#include <mlops/workspace.hpp>

#include "process/file_trace.hpp"

#include <string>
#include <vector>

namespace mlops::engine {

/// `directory` is the step's. Digests and sizes are left open.
std::vector<HiddenFile> hidden_files(const process::FileTraceReport& trace, const Step& step,
                                     const std::string& directory, const Workspace& workspace);

/// "read 2 files that it does not declare: a.csv, b.py", or empty; at most `names` of them by name.
std::string hidden_words(const std::vector<HiddenFile>& files, std::size_t names);

}  // namespace mlops::engine
