// Process 1 of a container, in front of a program that was not made for it.
#pragma once

#include <chrono>
#include <optional>

namespace mlops::process {

/// In process 1: lets a child go on in its place, hands signals on to it and collects what others leave
/// behind; the child gets SIGQUIT where it has not ended `stop_within` after SIGTERM. Returns its exit code.
/// In the child, and in any other process, returns nothing at once. There must be no other threads.
std::optional<int> stand_in(std::chrono::milliseconds stop_within);

}  // namespace mlops::process
