#include "store/tree.hpp"

#include <mlops/error.hpp>

#include <charconv>
#include <optional>

namespace mlops::store {

using util::Digest;

namespace {

constexpr std::string_view leaf_head = "mlops tree 1 leaf\n";
constexpr std::string_view node_head = "mlops tree 1 node\n";
constexpr std::string_view list_leaf_head = "mlops list 1 leaf\n";  // all four are of one length
constexpr std::string_view list_node_head = "mlops list 1 node\n";

// On average a node has this many entries; a power of two.
constexpr std::uint64_t node_entries = 256;

constexpr std::uint64_t hash_start = 14695981039346656037u;

std::uint64_t add_to_hash(std::uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

// FNV-1a, spread by the finaliser of splitmix64: part of the format, never to be changed.
bool ends_node(std::uint64_t hash) {
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return ((hash ^ (hash >> 31)) & (node_entries - 1)) == 0;
}

void append_number(std::string& text, std::uint64_t number) {
  char digits[20];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

struct Child {
  std::uint64_t files = 0, size = 0;
  Digest digest;
  std::string first;
};

class Parser {
 public:
  explicit Parser(std::string_view bytes) : rest_(bytes) {}

  bool leaf(TreeEntry& entry) {
    if (rest_.size() < 2 || rest_[1] != ' ' ||
        std::string_view("fxld").find(rest_[0]) == std::string_view::npos)
      return false;
    entry.mode = static_cast<FileMode>(rest_[0]);
    rest_.remove_prefix(2);
    return number(entry.size) && digest(entry.digest) && path(entry.path);
  }
  bool child(Child& child) {
    return number(child.files) && number(child.size) && digest(child.digest) && path(child.first);
  }
  bool done() const { return rest_.empty(); }

 private:
  bool number(std::uint64_t& value) {
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc() || end == rest_.data() + rest_.size() || *end != ' ') return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()) + 1);
    return true;
  }
  bool digest(Digest& value) {
    const auto parsed = Digest::from_hex(rest_.substr(0, 64));
    if (!parsed || rest_.size() < 66 || rest_[64] != ' ') return false;
    value = *parsed;
    rest_.remove_prefix(65);
    return true;
  }
  bool path(std::string& value) {
    const std::size_t end = rest_.find('\0');
    if (end == rest_.npos) return false;
    value = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return true;
  }
  std::string_view rest_;
};

struct Node {
  std::vector<TreeEntry> entries;  // of a leaf
  std::vector<Child> children;
  bool leaf = true;
  bool list = false;
};

std::optional<Node> parse(std::string_view bytes) {
  Node node;
  node.list = bytes.starts_with(list_leaf_head) || bytes.starts_with(list_node_head);
  node.leaf = bytes.starts_with(leaf_head) || bytes.starts_with(list_leaf_head);
  if (!node.leaf && !node.list && !bytes.starts_with(node_head)) return std::nullopt;
  Parser parser(bytes.substr(leaf_head.size()));
  while (!parser.done()) {
    if (node.leaf ? !parser.leaf(node.entries.emplace_back()) : !parser.child(node.children.emplace_back()))
      return std::nullopt;
  }
  return node;
}

Node read_node(Objects& objects, const Digest& digest) {
  const auto bytes = objects.read(digest);
  auto node = bytes ? parse(*bytes) : std::nullopt;
  if (!node) {
    throw NotWhole(ExitCode::io, "the version " + digest.hex() + " of a directory is not whole in the store",
                   "fetch it from a remote with `mlops fetch`, or make it again by running what made it");
  }
  return std::move(*node);
}

}  // namespace

bool is_tree(std::string_view bytes) { return bytes.starts_with(leaf_head) || bytes.starts_with(node_head); }

std::string_view TreeBuilder::head(std::size_t level) const {
  if (kind_ == TreeKind::list) return level == 0 ? list_leaf_head : list_node_head;
  return level == 0 ? leaf_head : node_head;
}

void TreeBuilder::add(FileMode mode, std::uint64_t size, const Digest& digest, std::string_view directory,
                      std::string_view name) {
  if (levels_.empty()) levels_.resize(1);
  Node& leaf = levels_[0];
  if (leaf.entries++ == 0) {
    leaf.first = directory;
    leaf.first += name;
    leaf.text = head(0);
  }
  leaf.text += static_cast<char>(mode);
  leaf.text += ' ';
  append_number(leaf.text, size);
  leaf.text += ' ';
  digest.append_hex(leaf.text);
  leaf.text += ' ';
  leaf.text += directory;
  leaf.text += name;
  leaf.text += '\0';
  leaf.files += mode == FileMode::directory ? 0 : 1;
  leaf.size += size;
  if (ends_node(add_to_hash(add_to_hash(hash_start, directory), name))) close(0);
}

// Ends the node of a level and tells the level above.
void TreeBuilder::close(std::size_t level) {
  if (levels_.size() == level + 1) levels_.resize(level + 2);
  Node& node = levels_[level];
  const Digest digest = put_(node.text);
  Node& above = levels_[level + 1];
  if (above.entries++ == 0) {
    above.first = node.first;
    above.text = head(level + 1);
  }
  append_number(above.text, node.files);
  above.text += ' ';
  append_number(above.text, node.size);
  above.text += ' ';
  digest.append_hex(above.text);
  above.text += ' ';
  above.text += node.first;
  above.text += '\0';
  above.files += node.files;
  above.size += node.size;
  const std::uint64_t hash = add_to_hash(hash_start, node.first);
  node.text.clear();
  node.first.clear();
  node.files = node.size = 0;
  node.entries = 0;
  node.closed_one = true;
  // A single entry closes no node of its own, or a tree could grow upwards without end.
  if (above.entries > 1 && ends_node(hash)) close(level + 1);
}

TreeSummary TreeBuilder::finish() {
  if (levels_.empty()) levels_.resize(1);
  for (std::size_t level = 0;; ++level) {
    Node& node = levels_[level];
    const bool top = level + 1 == levels_.size();
    if (top && !node.closed_one) {
      if (node.entries == 0) node.text = head(level);
      return {put_(node.text), node.files, node.size};
    }
    if (node.entries > 0) close(level);
  }
}

void walk_tree(Objects& objects, const Digest& tree, const std::function<bool(TreeEntry&&)>& on_entry) {
  std::vector<Digest> open = {tree};
  while (!open.empty()) {
    Node node = read_node(objects, open.back());
    open.pop_back();
    for (TreeEntry& entry : node.entries) {
      if (!on_entry(std::move(entry))) return;
    }
    for (std::size_t i = node.children.size(); i-- > 0;) open.push_back(node.children[i].digest);
  }
}

void walk_objects(Objects& objects, const Digest& tree, WalkedNodes& walked,
                  const std::function<void(const Digest&)>& on_object) {
  std::vector<Digest> open = {tree};
  while (!open.empty()) {
    const Digest digest = open.back();
    open.pop_back();
    if (walked.contains(digest)) continue;
    on_object(digest);
    const auto bytes = objects.read(digest);
    const auto node = bytes ? parse(*bytes) : std::nullopt;
    if (!node) continue;
    walked.insert(digest);
    for (const TreeEntry& entry : node->entries) {
      if (!node->list && entry.mode != FileMode::directory) on_object(entry.digest);
    }
    for (const Child& child : node->children) open.push_back(child.digest);
  }
}

const TreeEntry* TreeCursor::entry() {
  while (entries_.empty() && !open_.empty()) open_node();
  return entries_.empty() ? nullptr : &entries_.back();
}

void TreeCursor::open_node() {
  Node node = read_node(objects_, open_.back());
  open_.pop_back();
  entries_.assign(std::make_move_iterator(node.entries.rbegin()),
                  std::make_move_iterator(node.entries.rend()));
  for (std::size_t i = node.children.size(); i-- > 0;) open_.push_back(node.children[i].digest);
}

void diff_trees(Objects& objects, const Digest& before, const Digest& after,
                const std::function<void(const TreeChange&)>& on_change) {
  TreeCursor a(objects, before), b(objects, after);
  using Kind = TreeChange::Kind;
  const auto tell = [&](Kind kind, const TreeEntry* old, const TreeEntry* now) {
    TreeChange change;
    change.kind = kind;
    if (old) change.before = *old;
    if (now) change.after = *now;
    on_change(change);
  };
  while (true) {
    // Equal nodes at the same place are equal in all that they hold.
    if (a.node() && b.node()) {
      if (*a.node() == *b.node()) {
        a.skip_node(), b.skip_node();
      } else {
        a.open_node(), b.open_node();
      }
      continue;
    }
    const TreeEntry* x = a.entry();
    const TreeEntry* y = b.entry();
    if (!x && !y) return;
    if (!y || (x && x->path < y->path)) {
      tell(Kind::removed, x, nullptr);
      a.next();
    } else if (!x || y->path < x->path) {
      tell(Kind::added, nullptr, y);
      b.next();
    } else {
      if (!(*x == *y)) tell(Kind::changed, x, y);
      a.next(), b.next();
    }
  }
}

}  // namespace mlops::store
