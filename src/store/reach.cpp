#include "store/reach.hpp"

#include "store/tree.hpp"

#include <unordered_set>

namespace mlops::store {

namespace {

using Digests = std::unordered_set<util::Digest, util::DigestHash>;

template <typename OnObject>
void walk(Objects& objects, const Root& root, WalkedNodes& walked, const OnObject& on_object) {
  if (root.directory) {
    walk_objects(objects, root.digest, walked, on_object);
  } else {
    on_object(root.digest);
  }
}

}  // namespace

std::vector<util::Digest> reach(Objects& objects, const std::vector<Root>& roots) {
  Digests seen;
  std::vector<util::Digest> list;
  const auto take = [&](const util::Digest& digest) {
    if (seen.insert(digest).second) list.push_back(digest);
  };
  WalkedNodes walked;
  for (const Root& root : roots) walk(objects, root, walked, take);
  return list;
}

std::vector<std::uint64_t> missing_of(Objects& objects, const std::vector<Root>& roots) {
  std::vector<std::uint64_t> counts(roots.size(), 0);
  // First what roots share is looked at once; most often nothing is missing.
  Digests missing;
  WalkedNodes walked;
  const auto look = [&](const util::Digest& digest) {
    if (!objects.has(digest)) missing.insert(digest);
  };
  for (const Root& root : roots) walk(objects, root, walked, look);
  for (std::size_t i = 0; !missing.empty() && i < roots.size(); ++i) {
    Digests below;
    WalkedNodes own;
    walk(objects, roots[i], own, [&](const util::Digest& digest) {
      if (missing.contains(digest)) below.insert(digest);
    });
    counts[i] = below.size();
  }
  return counts;
}

}  // namespace mlops::store
