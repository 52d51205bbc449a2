// Values as DVC sees them: YAML as its reader takes it, and what Python makes of a value as text.
#pragma once

#include <mlops/dvc.hpp>

#include "util/yaml.hpp"

#include <string>
#include <string_view>

namespace mlops::pipeline::dvc {

/// Begins a text that stands for a plain scalar of YAML which has no type here: a key that is no text, a
/// date, an integer of more than 64 bits.
inline constexpr char plain_mark = '\x1e';

/// True for a text that begins with plain_mark.
bool is_plain(const OrderedJson& value);

/// What an unquoted scalar means to DVC: YAML 1.2 with underscores in numbers, `010` as ten and dates.
OrderedJson plain_value(std::string_view text);

OrderedJson to_value(const util::YamlNode& node);

/// The key of a map as text, without a mark.
std::string key_text(std::string_view key);

/// Python's repr() of a float: the shortest text that reads back.
std::string float_text(double value);

/// What a scalar becomes inside a text: true, None, 1e-05.
std::string to_text(const OrderedJson& value);

/// json.dumps(value, sort_keys=True) of Python. Entries with a key in `without` are left out at any depth.
std::string python_json(const OrderedJson& value, const std::vector<std::string>& without = {});

/// Equal as Python has it: 1, 1.0 and True are.
bool equal(const OrderedJson& a, const OrderedJson& b);

/// The value at a dotted path, lists by index; null if there is none.
const OrderedJson* find_value(const OrderedJson& root, std::string_view path);

/// In words: "a list", "a map", "text", …
const char* kind_of(const OrderedJson& value);

}  // namespace mlops::pipeline::dvc
