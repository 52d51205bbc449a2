// From the store back into the work tree.
#pragma once

#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <string>

namespace mlops::store {

/// Puts `content` at `path`, in place of whatever is there, all or nothing: it is made beside `path` first,
/// every byte checked against its name, by a clone where the file system can make one, else by a copy.
/// Directories on the way are made. False when the store has not all of it, or some of it is damaged (and now
/// quarantined): then nothing has changed. Throws Error(io).
bool restore(Objects& objects, const Content& content, const std::string& path, int threads = 0);

}  // namespace mlops::store
