#include "util/yaml.hpp"

#include "util/strings.hpp"
#include "util/yaml_complaint.hpp"
#include "util/yaml_shape.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>

namespace mlops::util {

namespace {

using Kind = YamlNode::Kind;

// Thrown through yaml-cpp's parser when reading on makes no sense.
struct Stop {
  bool may_be_unclosed = false;  // an open bracket looks like this too: yaml-cpp takes it for a key
};

Location place(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// --- Tags -----------------------------------------------------------------------------------------

enum class Tag { none, text, integer, real, boolean, null, list, map, unknown };

Tag tag_of(std::string_view tag) {
  constexpr std::string_view core = "tag:yaml.org,2002:";
  if (tag.empty() || tag == "?") return Tag::none;
  if (tag == "!") return Tag::text;
  if (!tag.starts_with(core)) return Tag::unknown;
  tag.remove_prefix(core.size());
  if (tag == "str") return Tag::text;
  if (tag == "int") return Tag::integer;
  if (tag == "float") return Tag::real;
  if (tag == "bool") return Tag::boolean;
  if (tag == "null") return Tag::null;
  if (tag == "seq") return Tag::list;
  if (tag == "map") return Tag::map;
  return Tag::unknown;
}

std::string shown_tag(std::string tag) {
  constexpr std::string_view core = "tag:yaml.org,2002:";
  return tag.starts_with(core) ? "!!" + tag.substr(core.size()) : tag;
}

// --- From events to a tree ------------------------------------------------------------------------

// The tree is built in place: a node on the stack never moves, because its parent's list grows only
// after it was closed. Anchors are therefore remembered as paths from the root, not copied.
class TreeBuilder final : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& file, std::vector<Diagnostic>& problems, int most_nodes)
      : file_(file), problems_(problems), most_nodes_(most_nodes) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    stop(place(mark), "a second document starts here",
         "a file holds one YAML document: remove the '---' or split the file");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    node.at = place(mark);
    if (expects_key())
      stop(node.at, "a map key is missing or null", "quote it if 'null' or '~' is meant as a name");
    add_leaf(std::move(node), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node;
    node.kind = Kind::scalar;
    node.at = place(mark);
    node.text = value;
    if (value.find('\0') != value.npos) report(node.at, "a text contains the NUL character", "remove \\0");
    // yaml-cpp makes lone bytes of these two escapes.
    if (!is_utf8(value)) {
      report(node.at, "the escapes \\N and \\_ cannot be read", "write \\x85 or \\xA0");
      node.text = to_utf8(value);
    }
    const Tag meaning = tag_of(tag);
    node.quoted = meaning == Tag::text;
    switch (meaning) {
      case Tag::none:
      case Tag::text: break;
      case Tag::integer: expect(node, tag, plain_value(value).is_number_integer(), "an integer"); break;
      case Tag::real: expect(node, tag, plain_value(value).is_number(), "a number"); break;
      case Tag::boolean: expect(node, tag, plain_value(value).is_boolean(), "true or false"); break;
      case Tag::null: node.kind = Kind::null; break;
      case Tag::list: expect(node, tag, false, "a list"); break;
      case Tag::map: expect(node, tag, false, "a map"); break;
      case Tag::unknown: unknown_tag(node.at, tag); break;
    }
    add_leaf(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Location at = place(mark);
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end() || !found->second.closed) {
      stop(at, "this alias stands inside the very value that it refers to",
           "an alias may only name an anchor whose value is complete");
    }
    const YamlNode& target = found->second.is_key ? found->second.key : follow(found->second.path);
    if (expects_key() && target.kind != Kind::scalar)
      stop(at, "a map key must be text, not " + name(target.kind));
    measure(target, static_cast<int>(stack_.size()) + 1, at);
    YamlNode copy = target;  // first a copy: the target may lie in the very list that grows
    append(std::move(copy));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Kind::list, place(mark), tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Kind::map, place(mark), tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    YamlNode* node;
    YAML::anchor_t anchor;
    bool expects_key;
  };
  struct Anchor {
    bool closed = false;
    bool is_key = false;
    YamlNode key;                     // when is_key
    std::vector<std::uint32_t> path;  // else
  };

  bool expects_key() const { return !stack_.empty() && stack_.back().expects_key; }

  static std::string name(Kind kind) {
    return kind == Kind::list ? "a list" : kind == Kind::map ? "a map" : kind == Kind::null ? "null" : "text";
  }

  void report(Location at, std::string message, std::string hint = {}) {
    problems_.push_back({file_, at, std::move(message), std::move(hint)});
  }
  [[noreturn]] void stop(Location at, std::string message, std::string hint = {}) {
    report(at, std::move(message), std::move(hint));
    throw Stop{};
  }
  [[noreturn]] void stop_at_bracket(Location at, std::string message) {
    report(at, std::move(message));
    throw Stop{true};
  }
  void expect(const YamlNode& node, const std::string& tag, bool met, const char* wanted) {
    if (!met) report(node.at, shown_tag(tag) + ": expected " + wanted + ", got '" + node.text + "'");
  }
  void unknown_tag(Location at, const std::string& tag) {
    report(at, "unknown tag '" + shown_tag(tag) + "'", "remove it: values have the types of plain YAML");
  }

  void count(Location at) {
    if (++nodes_ > most_nodes_) {
      stop(at, "more than " + std::to_string(most_nodes_) + " values, counting those that aliases repeat",
           "split the file, or use 'foreach' or 'matrix' in place of repeated text");
    }
  }
  void check_depth(int depth, Location at) {
    if (depth > kYamlMaxDepth)
      stop_at_bracket(at, "nested deeper than " + std::to_string(kYamlMaxDepth) + " levels");
  }

  // Counts an aliased subtree before it is copied, so that no alias can outgrow the limits.
  void measure(const YamlNode& node, int depth, Location at) {
    count(at);
    check_depth(depth, at);
    alias_bytes_ += node.text.size();
    for (const YamlNode& item : node.items) measure(item, depth + 1, at);
    for (const YamlEntry& entry : node.entries) {
      alias_bytes_ += entry.key.size();
      measure(entry.value, depth + 1, at);
    }
    if (alias_bytes_ > kYamlMaxAliasBytes) stop(at, "aliases repeat more than 4 MiB of text");
  }

  const YamlNode& follow(const std::vector<std::uint32_t>& path) const {
    const YamlNode* node = &root_;
    for (const std::uint32_t i : path)
      node = node->kind == Kind::list ? &node->items[i] : &node->entries[i].value;
    return *node;
  }
  std::vector<std::uint32_t> path_of_last() const {
    std::vector<std::uint32_t> path;
    for (const Frame& frame : stack_) {
      const YamlNode& n = *frame.node;
      path.push_back(
          static_cast<std::uint32_t>((n.kind == Kind::list ? n.items.size() : n.entries.size()) - 1));
    }
    return path;
  }

  YamlNode& append(YamlNode node) {
    if (stack_.empty()) return root_ = std::move(node);
    Frame& parent = stack_.back();
    if (parent.node->kind == Kind::list) return parent.node->items.emplace_back(std::move(node));
    if (parent.expects_key) {
      parent.expects_key = false;
      parent.node->entries.push_back({std::move(node.text), node.at, node.quoted, {}});
      return parent.node->entries.back().value;
    }
    parent.expects_key = true;
    return parent.node->entries.back().value = std::move(node);
  }

  void add_leaf(YamlNode node, YAML::anchor_t anchor) {
    const bool key = expects_key();
    if (!key) {
      count(node.at);
      check_depth(static_cast<int>(stack_.size()) + 1, node.at);
    }
    if (anchor) {
      Anchor& mark = anchors_[anchor];
      mark.closed = true;
      mark.is_key = key;
      if (key) mark.key = node;
    }
    append(std::move(node));
    if (anchor && !key) anchors_[anchor].path = path_of_last();
  }

  void open(Kind kind, Location at, const std::string& tag, YAML::anchor_t anchor) {
    const Tag meaning = tag_of(tag);
    if (expects_key()) stop_at_bracket(at, "a map key must be text, not " + name(kind));
    if (meaning == Tag::unknown) {
      unknown_tag(at, tag);
    } else if (meaning != Tag::none && meaning != Tag::text &&
               meaning != (kind == Kind::list ? Tag::list : Tag::map)) {
      report(at, "the tag " + shown_tag(tag) + " does not fit " + name(kind));
    }
    count(at);
    check_depth(static_cast<int>(stack_.size()) + 1, at);
    YamlNode node;
    node.kind = kind;
    node.at = at;
    YamlNode& placed = append(std::move(node));
    if (anchor) anchors_[anchor].closed = false;
    stack_.push_back({&placed, anchor, kind == Kind::map});
  }

  void close() {
    const Frame frame = stack_.back();
    stack_.pop_back();
    frame.node->items.shrink_to_fit();
    frame.node->entries.shrink_to_fit();
    if (!frame.anchor) return;
    Anchor& anchor = anchors_[frame.anchor];
    anchor.closed = true;
    anchor.path = path_of_last();
  }

  const std::string& file_;
  std::vector<Diagnostic>& problems_;
  YamlNode root_;
  std::vector<Frame> stack_;
  std::unordered_map<YAML::anchor_t, Anchor> anchors_;
  int documents_ = 0;
  int most_nodes_;
  int nodes_ = 0;
  std::size_t alias_bytes_ = 0;
};

// --- Merge keys, duplicate keys, index ------------------------------------------------------------

class Finisher {
 public:
  Finisher(const std::string& file, std::vector<Diagnostic>& problems) : file_(file), problems_(problems) {}

  void finish(YamlNode& node) {
    for (YamlNode& item : node.items) finish(item);
    for (YamlEntry& entry : node.entries) finish(entry.value);
    if (node.kind != Kind::map) return;
    bool merges = false;
    std::unordered_map<std::string_view, std::size_t> seen;
    std::vector<bool> twice;
    for (std::size_t i = 0; i < node.entries.size(); ++i) {
      const YamlEntry& entry = node.entries[i];
      const auto [first, is_new] = seen.emplace(entry.key, i);
      if (is_merge(entry)) merges = true;
      if (is_new) continue;
      problems_.push_back({file_, entry.at,
                           "the key '" + entry.key + "' appears twice in one map; first on line " +
                               std::to_string(node.entries[first->second].at.line),
                           "remove or rename one of them"});
      twice.resize(node.entries.size());
      twice[i] = true;
    }
    if (merges || !twice.empty()) rebuild(node, twice);
    index(node);
  }

 private:
  static bool is_merge(const YamlEntry& entry) { return entry.key == "<<" && !entry.quoted; }

  void rebuild(YamlNode& node, const std::vector<bool>& twice) {
    std::vector<YamlEntry> entries;
    std::vector<YamlNode> sources;
    for (std::size_t i = 0; i < node.entries.size(); ++i) {
      if (!twice.empty() && twice[i]) continue;
      YamlEntry& entry = node.entries[i];
      if (!is_merge(entry)) {
        entries.push_back(std::move(entry));
      } else if (entry.value.kind == Kind::list) {
        for (YamlNode& item : entry.value.items) sources.push_back(std::move(item));
      } else {
        sources.push_back(std::move(entry.value));
      }
    }
    std::unordered_map<std::string, bool> have;
    for (const YamlEntry& entry : entries) have.emplace(entry.key, true);
    for (YamlNode& source : sources) {
      if (source.kind != Kind::map) {
        problems_.push_back(
            {file_, source.at, "'<<' merges a map or a list of maps, nothing else", "write '<<: *anchor'"});
        continue;
      }
      for (YamlEntry& entry : source.entries) {
        if (have.emplace(entry.key, true).second) entries.push_back(std::move(entry));
      }
    }
    node.entries = std::move(entries);
  }

  static void index(YamlNode& node) {
    node.by_key.clear();
    if (node.entries.size() <= 16) return;
    node.by_key.resize(node.entries.size());
    for (std::uint32_t i = 0; i < node.by_key.size(); ++i) node.by_key[i] = i;
    std::ranges::sort(node.by_key, {},
                      [&](std::uint32_t i) -> const std::string& { return node.entries[i].key; });
  }

  const std::string& file_;
  std::vector<Diagnostic>& problems_;
};

// --- Before parsing -------------------------------------------------------------------------------

bool acceptable_bytes(std::string_view text, const std::string& file, std::size_t most,
                      std::vector<Diagnostic>& problems) {
  const auto refuse = [&](Location at, std::string message, std::string hint) {
    problems.push_back({file, at, std::move(message), std::move(hint)});
    return false;
  };
  if (text.size() > most) {
    return refuse({},
                  "the file has " + std::to_string(text.size()) + " bytes; at most " +
                      std::to_string(most >> 20) + " MiB is read",
                  "split it, or use 'foreach' or 'matrix' in place of repeated text");
  }
  const auto odd = std::ranges::find_if(text, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7F;
  });
  if (odd == text.end() && is_utf8(text)) return true;
  int line = 1;
  while (true) {
    const std::string_view row = text.substr(0, text.find('\n'));
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto c = static_cast<unsigned char>(row[i]);
      if ((c >= 0x20 && c != 0x7F) || c == '\r' || c == '\t') continue;
      return refuse(
          {line, static_cast<int>(i) + 1},
          c == 0 ? "a NUL byte: this is not a text file" : "a control character",
          c == 0 ? "save the file as UTF-8 text" : "remove it, or write it as an escape in double quotes");
    }
    if (!is_utf8(row)) {
      std::size_t good = 0;  // whole characters before the bad byte
      for (std::size_t i = 1; i <= row.size(); ++i) {
        if (is_utf8(row.substr(good, i - good))) good = i;
        if (i - good > 4) break;
      }
      return refuse({line, static_cast<int>(good) + 1}, "not UTF-8", "save the file in the encoding UTF-8");
    }
    if (row.size() == text.size()) return true;
    text.remove_prefix(row.size() + 1);
    ++line;
  }
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  if (!by_key.empty()) {
    const auto found = std::ranges::lower_bound(
        by_key, key, {}, [&](std::uint32_t i) { return std::string_view(entries[i].key); });
    return found != by_key.end() && entries[*found].key == key ? &entries[*found].value : nullptr;
  }
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

YamlNode parse_yaml(std::string_view text, const std::string& file, std::vector<Diagnostic>& problems,
                    const YamlLimits& limits) {
  if (!acceptable_bytes(text, file, limits.bytes, problems)) return {};
  TreeBuilder builder(file, problems, limits.nodes);
  // yaml-cpp takes the end of the file for the end of a quoted text that began before the last line. An end
  // mark of the document, which no quoted text may contain, makes it look.
  std::istringstream in(std::string(text) + (text.ends_with('\n') ? "...\n" : ""));
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const Stop& stop) {
    if (stop.may_be_unclosed && shape_of_yaml(text).open) trace_back(problems.back(), text);
    return {};
  } catch (const YAML::Exception& e) {
    problems.push_back(in_plain_words(e.msg, e.mark.is_null() ? Location{} : place(e.mark), text, file));
    return {};
  }
  YamlNode root = builder.take();
  Finisher(file, problems).finish(root);
  return root;
}

std::string yaml_library_version() { return MLOPS_YAML_CPP_VERSION; }

}  // namespace mlops::util
