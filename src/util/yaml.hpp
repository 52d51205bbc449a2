// YAML as our own tree of nodes that remember their place. yaml-cpp's node graph takes 39 times the text's
// size in memory and looks keys up one by one, so the tree is built from its parser events instead.
#pragma once

#include <mlops/error.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::util {

struct YamlEntry;

struct YamlNode {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;  ///< a scalar in quotes, a block scalar or !!str: always text
  Location at;
  std::string text;                   ///< of a scalar
  std::vector<YamlNode> items;        ///< of a list
  std::vector<YamlEntry> entries;     ///< of a map, in the order of the file; keys are unique
  std::vector<std::uint32_t> by_key;  ///< entries in the order of their keys; only in larger maps

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }

  /// The value of `key` in a map, else null.
  const YamlNode* find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  Location at;
  bool quoted = false;
  YamlNode value;
};

constexpr std::size_t kYamlMaxBytes = 1 << 20;
constexpr int kYamlMaxDepth = 64;
constexpr int kYamlMaxNodes = 100'000;  ///< values, those seen through an alias counted each time
constexpr std::size_t kYamlMaxAliasBytes = 4 << 20;  ///< text that aliases repeat

/// For files that programs write, such as a lock file.
struct YamlLimits {
  std::size_t bytes = kYamlMaxBytes;
  int nodes = kYamlMaxNodes;
};

/// The one document in `text`, aliases and merge keys (`<<`) resolved. What is wrong is appended to
/// `problems`; the tree is null where reading could not go on.
YamlNode parse_yaml(std::string_view text, const std::string& file, std::vector<Diagnostic>& problems,
                    const YamlLimits& limits = {});

/// What an unquoted scalar means by the core schema of YAML 1.2: null, true, false, integers, floats, else
/// text. Integers with a leading zero and those beyond 64 bits stay text.
nlohmann::json plain_value(std::string_view text);

nlohmann::json to_json(const YamlNode& node);

std::string yaml_library_version();

}  // namespace mlops::util
