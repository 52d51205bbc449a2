// Reading single values of a pipeline file: `${…}` filled in, the type checked, problems worded.
#pragma once

#include <mlops/pipeline.hpp>

#include "params/interpolate.hpp"
#include "pipeline/keys.hpp"
#include "pipeline/problems.hpp"
#include "util/yaml.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::pipeline {

/// A text of the file and its place.
struct Placed {
  std::string text;
  Location at;
};

/// What a node is, for "expected …, got …": "'soon'", "a list", "a map", "nothing".
std::string described(const util::YamlNode& node);

/// Reports keys of the map `node` that `keys` does not have; `what` is "step 'train'". False if `node` is no
/// map.
bool check_keys(const util::YamlNode& node, Keys keys, const std::string& what, Problems& problems);

/// Every reader reports what is wrong, naming `what` (the key), and then returns nothing.
class Fields {
 public:
  Fields(const params::Scope& scope, Problems& problems) : scope_(scope), problems_(problems) {}

  std::optional<std::string> text(const util::YamlNode& node, std::string_view what) const;
  /// A text or a list of texts, none of them empty.
  std::vector<Placed> texts(const util::YamlNode& node, std::string_view what) const;
  /// As text, but may refer to what steps make.
  Text open_text(const util::YamlNode& node, std::string_view what, params::Target target) const;
  std::optional<bool> boolean(const util::YamlNode& node, std::string_view what) const;
  std::optional<int> integer(const util::YamlNode& node, std::string_view what, int least, int most) const;
  std::optional<double> number(const util::YamlNode& node, std::string_view what, double least,
                               double most) const;
  std::optional<Milliseconds> duration(const util::YamlNode& node, std::string_view what) const;
  std::optional<std::uint64_t> size(const util::YamlNode& node, std::string_view what) const;
  std::optional<std::string> choice(const util::YamlNode& node, std::string_view what,
                                    std::span<const std::string_view> values) const;
  /// A text that fits is_name().
  std::string name(const util::YamlNode& node, std::string_view what) const;
  /// Any value; a scalar that is one reference becomes the value referred to.
  Json value(const util::YamlNode& node) const;
  /// A map of environment variables; the key `skip` is left out.
  std::map<std::string, Text> variables(const util::YamlNode& node, std::string_view what,
                                        std::string_view skip = {}) const;

  void expected(const util::YamlNode& node, std::string_view what, std::string_view wanted,
                std::string hint = {}) const;
  Problems& problems() const { return problems_; }

 private:
  std::optional<std::string> filled(const util::YamlNode& node) const;
  void report(const util::YamlNode& node, const std::vector<params::ReferenceProblem>& list) const;
  /// What references may name, without hints once there are many problems.
  params::Scope scope() const;

  const params::Scope& scope_;
  Problems& problems_;
};

}  // namespace mlops::pipeline
