// What kind of file system a path lies on, where that matters.
#pragma once

#include <string>

namespace mlops::util {

/// "NFS", "SMB" or "FUSE" when locks and shared memory on the file system of `path` cannot be relied on, else
/// "".
std::string network_file_system(const std::string& path);

}  // namespace mlops::util
