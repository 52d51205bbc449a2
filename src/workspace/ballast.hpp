// Room on the disk that is given up when there is no other: so that what has happened can be recorded.
#pragma once

#include <mlops/workspace.hpp>

namespace mlops::workspace {

/// Takes it, unless it is taken already: a thirty-second of what is free, at most 16 MiB. On a disk that is
/// nearly full, or that cannot promise room, there is none. Never fails.
void lay_ballast(const Workspace& workspace) noexcept;

/// False if there was none.
bool drop_ballast(const Workspace& workspace) noexcept;

}  // namespace mlops::workspace
