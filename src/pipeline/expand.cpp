#include "pipeline/expand.hpp"

#include <unordered_set>

namespace mlops::pipeline {

namespace {

using util::YamlNode;

// A value as the part of a step's name after '@'; empty if it has no short form.
std::string suffix_of(const Json& value) {
  if (value.is_structured() || value.is_null()) return {};
  std::string suffix = params::value_text(value);
  for (char& c : suffix) {
    const bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("_.=-").find(c) != std::string_view::npos;
    if (!keep) c = '_';
  }
  return suffix.size() <= 80 ? suffix : std::string();
}

// Names from suffixes; if one is missing or two are the same, all of them become numbers.
void name_variants(const std::string& base, std::vector<Variant>& variants,
                   const std::vector<std::string>& suffixes) {
  std::unordered_set<std::string> seen;
  bool usable = true;
  for (const std::string& suffix : suffixes) usable = usable && !suffix.empty() && seen.insert(suffix).second;
  for (std::size_t i = 0; i < variants.size(); ++i) {
    variants[i].name = base + "@" + (usable ? suffixes[i] : std::to_string(i));
  }
}

std::vector<Variant> expand_foreach(const std::string& base, const YamlNode& node, const Fields& fields) {
  const std::size_t before = fields.problems().list().size();
  const Json values = fields.value(node);
  std::vector<Variant> variants;
  std::vector<std::string> suffixes;
  if (fields.problems().list().size() != before) return variants;
  if (!values.is_structured()) {
    fields.expected(node, "foreach", "a list or a map", "such as [a, b] or ${params.models}");
  } else if (values.empty()) {
    fields.problems().add(node.at,
                          "foreach: there is nothing in it, so '" + base + "' would be no step at all");
  } else if (values.size() > kMostSteps) {
    fields.problems().add(node.at, "foreach: more than 100000 items");
  } else if (values.is_array()) {
    for (const Json& item : values) {
      variants.push_back({"", {{"item", item}}});
      suffixes.push_back(suffix_of(item));
    }
  } else {
    // In the order of the file where there is one; values that came from params are sorted.
    std::vector<std::string> keys;
    if (node.is_map()) {
      for (const util::YamlEntry& entry : node.entries) keys.push_back(entry.key);
    } else {
      for (const auto& [key, item] : values.items()) keys.push_back(key);
    }
    for (const std::string& key : keys) {
      variants.push_back({"", {{"item", values[key]}, {"key", key}}});
      suffixes.push_back(suffix_of(key));
    }
  }
  name_variants(base, variants, suffixes);
  return variants;
}

// The axes of a matrix in the order of the file, or sorted if they came from params.
std::vector<std::pair<std::string, Json>> read_axes(const YamlNode& node, const Fields& fields) {
  std::vector<std::pair<std::string, Json>> axes;
  const std::size_t before = fields.problems().list().size();
  const Json values = fields.value(node);
  if (fields.problems().list().size() != before) return axes;
  if (values.is_object() && values.empty()) {
    fields.problems().add(node.at, "matrix: there is nothing in it",
                          "such as {lr: [0.1, 0.01], seed: [1, 2]}");
    return axes;
  }
  if (!values.is_object()) {
    fields.expected(node, "matrix", "a map of names to lists", "such as {lr: [0.1, 0.01], seed: [1, 2]}");
    return axes;
  }
  const auto add = [&](const std::string& name, const Json& list, Location at) {
    if (!is_variable(name)) {
      fields.problems().add(at, "matrix: '" + name + "' is not a name",
                            "letters, digits and '_', not beginning with a digit");
    } else if (!list.is_array() || list.empty()) {
      fields.problems().add(at, "matrix: " + name + ": expected a list with at least one value");
    } else {
      axes.emplace_back(name, list);
    }
  };
  if (node.is_map()) {
    for (const util::YamlEntry& entry : node.entries) add(entry.key, values[entry.key], entry.at);
  } else {
    for (const auto& [name, list] : values.items()) add(name, list, node.at);
  }
  if (axes.size() != values.size()) axes.clear();
  return axes;
}

std::vector<Variant> expand_matrix(const std::string& base, const YamlNode& node, const Fields& fields) {
  const auto axes = read_axes(node, fields);
  std::vector<Variant> variants;
  std::size_t total = axes.empty() ? 0 : 1;
  for (const auto& [name, list] : axes) {
    total *= list.size();
    if (total <= kMostSteps) continue;
    fields.problems().add(node.at, "matrix: more than 100000 combinations");
    return variants;
  }
  std::vector<std::string> suffixes;
  for (std::size_t i = 0; i < total; ++i) {
    Json point = Json::object();
    std::string suffix;
    bool usable = true;
    std::size_t rest = total;
    for (const auto& [name, list] : axes) {  // the last axis changes fastest
      rest /= list.size();
      const Json& value = list[i / rest % list.size()];
      const std::string part = suffix_of(value);
      usable = usable && !part.empty();
      suffix += (suffix.empty() ? "" : "-") + part;
      point[name] = value;
    }
    variants.push_back({"", {{"matrix", std::move(point)}}});
    suffixes.push_back(usable && suffix.size() <= 80 ? suffix : std::string());
  }
  name_variants(base, variants, suffixes);
  return variants;
}

}  // namespace

std::vector<Variant> expand(const util::YamlEntry& step, const Fields& fields) {
  std::vector<Variant> open{{step.key, nullptr, true}};
  const YamlNode* foreach = step.value.is_map() ? step.value.find("foreach") : nullptr;
  const YamlNode* matrix = step.value.is_map() ? step.value.find("matrix") : nullptr;
  if (foreach && matrix) {
    fields.problems().add(matrix->at, "step '" + step.key + "' has both 'foreach' and 'matrix'",
                          "use 'matrix' for combinations");
    return open;
  }
  if (!foreach && !matrix) return {{step.key, nullptr}};
  std::vector<Variant> variants =
      foreach ? expand_foreach(step.key, *foreach, fields) : expand_matrix(step.key, *matrix, fields);
  return variants.empty() ? open : variants;
}

}  // namespace mlops::pipeline
