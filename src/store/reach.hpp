#pragma once

#include "store/lease.hpp"

#include <cstdint>
#include <vector>

namespace mlops::store {

/// All objects that `roots` need, each once, as far as the nodes of their trees are here. In the order of the
/// trees, so that what belongs together comes to lie together.
std::vector<util::Digest> reach(Objects& objects, const std::vector<Root>& roots);

/// For each of `roots`, how many of the objects that it needs are not here, as far as its nodes tell.
std::vector<std::uint64_t> missing_of(Objects& objects, const std::vector<Root>& roots);

}  // namespace mlops::store
