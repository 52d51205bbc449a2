// From the store back into the work tree.
#pragma once

#include "store/objects.hpp"
#include "store/snapshot.hpp"

#include <string>
#include <vector>

namespace mlops::store {

/// How a file of the store comes into the work tree. A reflink shares blocks until one of both is changed; a
/// hardlink is the object itself, which nobody may write to.
enum class LinkMode { reflink, hardlink, copy };

/// The ways to try, in order: those that MLOPS_LINK names, such as "hardlink,copy", else reflink and copy. A
/// copy is the last resort in any case. Throws Error(usage) for an unknown one.
std::vector<LinkMode> link_modes();

/// Puts `content` at `path`, in place of whatever is there, all or nothing: it is made beside `path` first,
/// every byte checked against its name. Directories on the way are made. False when the store has not all of
/// it, or some of it is damaged (and now quarantined): then nothing has changed. Throws Error(io).
bool restore(Objects& objects, const Content& content, const std::string& path, int threads = 0);

/// Removes what a process that died while it restored left beside `path`; restore() does so first.
void remove_leftovers_beside(const std::string& path);

/// Gives each file at or below `path` that is a hardlink of an object an inode of its own, which may be
/// written to. Costs nothing where the store never made one. Throws Error(io).
void make_writable(const std::string& store_directory, const std::string& path);

}  // namespace mlops::store
