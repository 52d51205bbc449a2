#include "params/overrides.hpp"

#include "util/strings.hpp"
#include "util/yaml.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace mlops::params {

namespace {

const Json* child(const Json& parent, const std::string& key) {
  if (parent.is_object()) {
    const auto found = parent.find(key);
    return found == parent.end() ? nullptr : &*found;
  }
  if (!parent.is_array()) return nullptr;
  std::size_t index = 0;
  const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), index);
  if (error != std::errc() || stop != key.data() + key.size() || index >= parent.size()) return nullptr;
  return &parent[index];
}

std::vector<std::string> keys_of(const Json& map, const std::string& prefix) {
  std::vector<std::string> keys;
  if (!map.is_object()) return keys;
  for (const auto& [key, value] : map.items()) keys.push_back(prefix + key);
  return keys;
}

bool is_finite(const Json& value) {
  if (value.is_structured()) return std::ranges::all_of(value, is_finite);
  return !value.is_number_float() || std::isfinite(value.get<double>());
}

// A value of `--set`, or what is wrong with it.
struct Value {
  Json json;
  std::string problem;
};

Value read_value(const std::string& text) {
  const std::string_view trimmed = util::trim(text);
  if (trimmed.empty()) return {"", ""};
  if (std::string_view("[{\"'").find(trimmed[0]) == std::string_view::npos)
    return {util::plain_value(trimmed), ""};
  std::vector<Diagnostic> problems;
  const util::YamlNode node = util::parse_yaml(trimmed, "", problems);
  if (!problems.empty()) return {nullptr, problems.front().message};
  return {util::to_json(node), ""};
}

}  // namespace

std::optional<Diagnostic> apply_override(Json& params, const std::string& text) {
  const auto wrong = [&](std::string message, std::string hint) {
    return Diagnostic{"--set " + util::to_utf8(text), {}, std::move(message), std::move(hint)};
  };
  const std::size_t equals = text.find('=');
  if (equals == text.npos) return wrong("expected NAME=VALUE", "such as --set train.lr=0.2");
  if (!util::is_utf8(text)) return wrong("not UTF-8", "");
  std::string_view name = util::trim(std::string_view(text).substr(0, equals));
  const bool add = name.starts_with('+');
  if (add) name.remove_prefix(1);
  if (name.starts_with("params."))
    return wrong("the name starts below params", "write " + std::string(name.substr(7)));
  const std::vector<std::string> path = util::split(name, '.');
  for (const std::string& key : path) {
    if (key.empty()) return wrong("the name has an empty part", "such as --set train.lr=0.2");
  }
  if (path.size() > 32) return wrong("the name has too many parts", "");
  Value value = read_value(text.substr(equals + 1));
  if (!value.problem.empty()) return wrong("the value is not valid YAML: " + value.problem, "");
  if (!is_finite(value.json)) {
    return wrong("JSON has no form for this number", "pass it as text: '" + std::string(name) + "=\"inf\"'");
  }

  Json* at = &params;
  std::string prefix;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const Json* next = child(*at, path[i]);
    if (!next && at->is_array()) {
      return wrong("'" + prefix.substr(0, prefix.size() - 1) + "' is a list without an item " + path[i],
                   "set the whole list: [a, b]");
    }
    if (!next && !at->is_object()) {
      return wrong(
          "'" + prefix.substr(0, prefix.size() - 1) + "' is not a map, so it has no '" + path[i] + "'", "");
    }
    if (!next && !add) {
      const std::string near = util::closest(path[i], keys_of(*at, ""));
      return wrong("no param '" + prefix + path[i] + "' in the file",
                   (near.empty() ? "" : "did you mean '" + prefix + near + "'? ") + "To add one, write '+" +
                       std::string(name) + "=…'");
    }
    if (!next) {
      (*at)[path[i]] = i + 1 < path.size() ? Json::object() : Json();
      next = child(*at, path[i]);
    }
    at = const_cast<Json*>(next);  // `params` is ours to change
    prefix += path[i] + ".";
  }
  if (at->is_object() && !value.json.is_object()) {
    const std::string first = at->empty() ? "KEY" : at->begin().key();
    return wrong(
        "'" + std::string(name) + "' is a map; a single value would wipe out its keys",
        "set one key: " + std::string(name) + "." + first + "=…, or a whole map: {" + first + ": …}");
  }
  *at = std::move(value.json);
  return std::nullopt;
}

const Json* find_param(const Json& params, std::string_view dotted) {
  const Json* at = &params;
  for (const std::string& key : util::split(dotted, '.')) {
    if (!(at = child(*at, key))) return nullptr;
  }
  return at;
}

void for_each_leaf(const Json& value, const std::string& name,
                   const std::function<void(const std::string& name, std::string text)>& on_leaf) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items())
      for_each_leaf(child, name.empty() ? key : name + "." + key, on_leaf);
  } else if (!name.empty()) {
    on_leaf(name, value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
}

std::string suggest_param(const Json& params, std::string_view dotted, std::string_view prefix) {
  const Json* at = &params;
  std::string path(prefix);
  for (const std::string& key : util::split(dotted, '.')) {
    const Json* next = child(*at, key);
    if (!next) {
      if (at->is_array())
        return path.substr(0, path.size() - 1) + " is a list of " + std::to_string(at->size());
      // What both have in common makes no two names alike.
      const std::string near = util::closest(key, keys_of(*at, ""));
      return near.empty() ? util::did_you_mean("", keys_of(*at, path))
                          : "did you mean '" + path + near + "'?";
    }
    at = next;
    path += key + ".";
  }
  return {};
}

}  // namespace mlops::params
