// `--set train.lr=0.2`: params changed from the command line.
#pragma once

#include <mlops/error.hpp>

#include <nlohmann/json.hpp>

#include <functional>
#include <optional>
#include <string>

namespace mlops::params {

using Json = nlohmann::json;

/// Applies "a.b=VALUE" to `params`, or "+a.b=VALUE", which may also add a key. VALUE is a YAML scalar, or a
/// list, map or quoted text in YAML's flow form. Returns what is wrong with it, if anything.
std::optional<Diagnostic> apply_override(Json& params, const std::string& text);

/// The value at a dotted name ("train.lr", "models.0.name"); null pointer if there is none.
const Json* find_param(const Json& params, std::string_view dotted);

/// Calls `on_leaf` for whatever in `value` is no map with keys: {"lr": 0.1, "sizes": [1, 2]} called "train"
/// has the leaves train.lr and train.sizes. The texts are JSON. An unnamed leaf is passed over.
void for_each_leaf(const Json& value, const std::string& name,
                   const std::function<void(const std::string& name, std::string text)>& on_leaf);

/// What to say to someone who wrote a dotted name that is not there: the nearest that is, with `prefix`
/// before it.
std::string suggest_param(const Json& params, std::string_view dotted, std::string_view prefix);

}  // namespace mlops::params
