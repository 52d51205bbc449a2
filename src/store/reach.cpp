#include "store/reach.hpp"

#include "store/tree.hpp"

#include <unordered_set>

namespace mlops::store {

std::vector<util::Digest> reach(Objects& objects, const std::vector<Root>& roots) {
  std::unordered_set<util::Digest, util::DigestHash> seen;
  std::vector<util::Digest> list;
  const auto take = [&](const util::Digest& digest) {
    if (!seen.insert(digest).second) return false;
    list.push_back(digest);
    return true;
  };
  for (const Root& root : roots) {
    if (root.directory) {
      walk_objects(objects, root.digest, take, [](const util::Digest&) {});
    } else {
      take(root.digest);
    }
  }
  return list;
}

}  // namespace mlops::store
