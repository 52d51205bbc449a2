#include "pipeline/fields.hpp"

#include "util/quantity.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace mlops::pipeline {

using util::YamlNode;

std::string described(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return "nothing";
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::map: return "a map";
    case YamlNode::Kind::scalar: break;
  }
  if (node.text.size() <= 60) return "'" + node.text + "'";
  return "'" + util::to_utf8(node.text.substr(0, 57)) + "…'";
}

bool check_keys(const YamlNode& node, Keys keys, const std::string& what, Problems& problems) {
  if (!node.is_map()) {
    problems.add(node.at, what + ": expected a map, got " + described(node));
    return false;
  }
  for (const util::YamlEntry& entry : node.entries) {
    if (std::ranges::any_of(keys, [&](const Key& key) { return key.name == entry.key; })) continue;
    const std::string_view ours = name_for_foreign(entry.key, keys);
    problems.add(entry.at, "unknown key '" + entry.key + "' in " + what,
                 ours.empty()
                     ? problems.suggest(entry.key, names_of(keys))
                     : "it is called '" + std::string(ours) + "' here" +
                           (entry.key == "stages" ? "; a file of DVC has to be called dvc.yaml" : ""));
  }
  return true;
}

void Fields::expected(const YamlNode& node, std::string_view what, std::string_view wanted,
                      std::string hint) const {
  problems_.add(node.at, std::string(what) + ": expected " + std::string(wanted) + ", got " + described(node),
                std::move(hint));
}

void Fields::report(const YamlNode& node, const std::vector<params::ReferenceProblem>& list) const {
  for (const params::ReferenceProblem& p : list) {
    if (!p.message.empty())
      problems_.add(problems_.locate(node.at, p.reference, p.occurrence), p.message, p.hint);
  }
}

params::Scope Fields::scope() const {
  params::Scope now = scope_;
  now.hints = !problems_.many();
  return now;
}

// The scalar's text with its references filled in.
std::optional<std::string> Fields::filled(const YamlNode& node) const {
  if (node.text.find("${") == node.text.npos) return node.text;
  params::Scope closed = scope();
  closed.steps = nullptr;
  const params::Interpolated result = params::interpolate(node.text, closed, params::Target::text);
  report(node, result.problems);
  if (!result.problems.empty()) return std::nullopt;
  return result.pieces.front().literal;
}

std::optional<std::string> Fields::text(const YamlNode& node, std::string_view what) const {
  if (node.is_scalar()) return filled(node);
  expected(node, what, "text");
  return std::nullopt;
}

std::vector<Placed> Fields::texts(const YamlNode& node, std::string_view what) const {
  std::vector<Placed> result;
  const auto add = [&](const YamlNode& item) {
    if (!item.is_scalar()) return expected(item, what, "text");
    auto value = filled(item);
    if (!value) return;
    if (value->empty()) return problems_.add(item.at, std::string(what) + ": a text is empty");
    result.push_back({std::move(*value), item.at});
  };
  if (node.is_list()) {
    for (const YamlNode& item : node.items) add(item);
  } else if (node.is_scalar()) {
    add(node);
  } else {
    expected(node, what, "text or a list of texts");
  }
  return result;
}

Text Fields::open_text(const YamlNode& node, std::string_view what, params::Target target) const {
  Text result;
  if (!node.is_scalar()) {
    expected(node, what, "text", node.is_null() ? "write \"\" for an empty text" : "");
    return result;
  }
  params::Interpolated filled_in = params::interpolate(node.text, scope(), target);
  report(node, filled_in.problems);
  result.parts.reserve(filled_in.pieces.size());
  for (params::Piece& piece : filled_in.pieces) {
    result.parts.push_back({std::move(piece.literal), std::move(piece.step), std::move(piece.key)});
  }
  return result;
}

std::optional<bool> Fields::boolean(const YamlNode& node, std::string_view what) const {
  const auto value = node.is_scalar() ? filled(node) : std::nullopt;
  const Json json = value ? util::plain_value(*value) : Json();
  if (json.is_boolean()) return json.get<bool>();
  if (!node.is_scalar() || value) expected(node, what, "true or false");
  return std::nullopt;
}

std::optional<double> Fields::number(const YamlNode& node, std::string_view what, double least,
                                     double most) const {
  const auto value = node.is_scalar() ? filled(node) : std::nullopt;
  const Json json = value ? util::plain_value(*value) : Json();
  if (json.is_number() && json.get<double>() >= least && json.get<double>() <= most)
    return json.get<double>();
  if (node.is_scalar() && !value) return std::nullopt;
  std::string wanted = "a number of at least " + Json(least).dump();
  if (most < 1e9) wanted = "a number from " + Json(least).dump() + " to " + Json(most).dump();
  expected(node, what, wanted);
  return std::nullopt;
}

std::optional<int> Fields::integer(const YamlNode& node, std::string_view what, int least, int most) const {
  const auto value = node.is_scalar() ? filled(node) : std::nullopt;
  const Json json = value ? util::plain_value(*value) : Json();
  if (json.is_number_integer() && json.get<double>() >= least && json.get<double>() <= most)
    return json.get<int>();
  if (node.is_scalar() && !value) return std::nullopt;
  expected(node, what, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return std::nullopt;
}

std::optional<Milliseconds> Fields::duration(const YamlNode& node, std::string_view what) const {
  const auto value = node.is_scalar() ? filled(node) : std::nullopt;
  if (node.is_scalar() && !value) return std::nullopt;
  const auto result = value ? util::parse_duration(*value) : std::nullopt;
  if (!result) expected(node, what, "a duration such as 90s or 1h30m");
  return result;
}

std::optional<std::uint64_t> Fields::size(const YamlNode& node, std::string_view what) const {
  const auto value = node.is_scalar() ? filled(node) : std::nullopt;
  if (node.is_scalar() && !value) return std::nullopt;
  const auto result = value ? util::parse_size(*value) : std::nullopt;
  if (!result) expected(node, what, "a size such as 512MiB or 4GiB");
  return result;
}

std::optional<std::string> Fields::choice(const YamlNode& node, std::string_view what,
                                          std::span<const std::string_view> values) const {
  const auto value = node.is_scalar() ? filled(node) : std::nullopt;
  if (node.is_scalar() && !value) return std::nullopt;
  if (value && std::ranges::find(values, *value) != values.end()) return value;
  const std::vector<std::string> words(values.begin(), values.end());
  const std::string near = value ? util::closest(*value, words) : "";
  expected(node, what, util::join(words, ", "), near.empty() ? "" : "did you mean '" + near + "'?");
  return std::nullopt;
}

std::string Fields::name(const YamlNode& node, std::string_view what) const {
  const auto value = text(node, what);
  if (!value) return {};
  if (is_name(*value)) return *value;
  expected(node, what, "a name",
           "letters, digits, '_', '.' and '-', at most 100, not beginning with '.' or '-'");
  return {};
}

Json Fields::value(const YamlNode& node) const {
  switch (node.kind) {
    case YamlNode::Kind::null: return nullptr;
    case YamlNode::Kind::scalar: {
      if (node.text.find("${") == node.text.npos) return util::to_json(node);
      if (auto whole = params::referenced_value(node.text, scope())) return *whole;
      const auto text = filled(node);
      return text ? Json(*text) : Json();
    }
    case YamlNode::Kind::list: {
      Json list = Json::array();
      for (const YamlNode& item : node.items) list.push_back(value(item));
      return list;
    }
    case YamlNode::Kind::map: {
      Json map = Json::object();
      for (const util::YamlEntry& entry : node.entries) map[entry.key] = value(entry.value);
      return map;
    }
  }
  return nullptr;
}

std::map<std::string, Text> Fields::variables(const YamlNode& node, std::string_view what,
                                              std::string_view skip) const {
  std::map<std::string, Text> result;
  if (!node.is_map()) {
    expected(node, what, "a map of names to values");
    return result;
  }
  for (const util::YamlEntry& entry : node.entries) {
    if (entry.key == skip && !skip.empty()) continue;
    const std::string label = std::string(what) + " " + entry.key;
    if (!is_variable(entry.key)) {
      problems_.add(entry.at,
                    std::string(what) + ": '" + entry.key + "' is not the name of an environment variable",
                    "letters, digits and '_', not beginning with a digit");
    } else if (entry.key.starts_with("MLOPS_")) {
      problems_.add(entry.at, std::string(what) + ": names that begin with MLOPS_ are set by mlops",
                    "choose another name");
    } else {
      result[entry.key] = open_text(entry.value, label, params::Target::text);
    }
  }
  return result;
}

}  // namespace mlops::pipeline
