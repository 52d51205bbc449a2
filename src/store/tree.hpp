// A version of a directory: its files in the order of their paths, cut into nodes that are objects of the
// store.
//
// A node is text:
//   "mlops tree 1 leaf\n", then for each file       MODE SIZE DIGEST PATH NUL
//   "mlops tree 1 node\n", then for each node below  FILES SIZE DIGEST FIRST-PATH NUL
// MODE is f (file), x (executable file), l (symbolic link: the object is its target) or d (a directory
// without files). Paths are relative, in the order of their bytes, and may hold any byte but NUL.
//
// A list is a tree that vouches for no contents: the store has its nodes, which say "list" where those of a
// tree say "tree", but not what they name. It tells what lay in a directory that was only read.
//
// Where one node ends and the next begins depends on the paths alone (a hash of the last one), so that a
// version that differs in one file shares all nodes but one leaf and those above it, whatever the history.
// Equal directories have equal digests. The idea of cutting by content: Rabin; as search trees: "prolly
// trees" of Noms.
#pragma once

#include <mlops/error.hpp>

#include "store/objects.hpp"
#include "util/digest.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace mlops::store {

enum class FileMode : char { file = 'f', executable = 'x', link = 'l', directory = 'd' };

struct TreeEntry {
  FileMode mode = FileMode::file;
  std::uint64_t size = 0;
  util::Digest digest;
  std::string path;
  bool operator==(const TreeEntry&) const = default;
};

/// A version that cannot be had from the store: a node is missing or damaged, or it is no tree of ours.
class NotWhole : public Error {
 public:
  using Error::Error;
};

/// What the top of a tree says of the whole.
struct TreeSummary {
  util::Digest digest;
  std::uint64_t files = 0;
  std::uint64_t size = 0;  ///< bytes of all files
};

enum class TreeKind { tree, list };

/// Takes entries in the order of their paths. `put` gets the bytes of each node as it is finished.
class TreeBuilder {
 public:
  using Put = std::function<util::Digest(std::string_view bytes)>;
  explicit TreeBuilder(Put put, TreeKind kind = TreeKind::tree) : put_(std::move(put)), kind_(kind) {}

  void add(const TreeEntry& entry) { add(entry.mode, entry.size, entry.digest, entry.path, {}); }
  /// The same for the path `directory` + `name`, without a string of it.
  void add(FileMode mode, std::uint64_t size, const util::Digest& digest, std::string_view directory,
           std::string_view name);
  TreeSummary finish();

 private:
  struct Node {  // of one level, being filled
    std::string text;
    std::string first;
    std::uint64_t files = 0, size = 0;
    int entries = 0;
    bool closed_one = false;  // the level has more than this node
  };
  void close(std::size_t level);
  std::string_view head(std::size_t level) const;

  Put put_;
  TreeKind kind_;
  std::vector<Node> levels_;
};

/// Calls `on_entry` for every file of a tree or list, in order; false from it ends the walk. Throws NotWhole.
void walk_tree(Objects& objects, const util::Digest& tree, const std::function<bool(TreeEntry&&)>& on_entry);

/// Nodes that were walked with all below them. Not all objects that were met: a file may have the bytes of a
/// node, and nothing is known then of what that has below it.
using WalkedNodes = std::unordered_set<util::Digest, util::DigestHash>;

/// The digests of all nodes and objects of a tree, of a list those of its nodes; each is told once per place,
/// but nothing of nodes that `walked` has already. A node that is not in the store is told and passed over.
void walk_objects(Objects& objects, const util::Digest& tree, WalkedNodes& walked,
                  const std::function<void(const util::Digest&)>& on_object);

/// Reads a tree entry by entry, and can pass over whole nodes. Throws NotWhole.
class TreeCursor {
 public:
  TreeCursor(Objects& objects, const util::Digest& tree) : objects_(objects), open_{tree} {}

  /// The entry at hand, null at the end.
  const TreeEntry* entry();
  void next() { entries_.pop_back(); }

  /// The node that begins here, if no part of it has been read.
  const util::Digest* node() const { return entries_.empty() && !open_.empty() ? &open_.back() : nullptr; }
  void skip_node() { open_.pop_back(); }
  void open_node();

 private:
  Objects& objects_;
  std::vector<util::Digest> open_;  // nodes to come, the next one last
  std::vector<TreeEntry> entries_;  // of the leaf at hand, the next one last
};

struct TreeChange {
  enum class Kind { added, removed, changed } kind = Kind::added;
  TreeEntry before, after;
};
/// What differs from `before` to `after`, in order of path. Nodes that both share are not read.
void diff_trees(Objects& objects, const util::Digest& before, const util::Digest& after,
                const std::function<void(const TreeChange&)>& on_change);

/// True if `bytes` are a node of a tree.
bool is_tree(std::string_view bytes);

}  // namespace mlops::store
