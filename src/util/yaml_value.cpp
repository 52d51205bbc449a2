// What a scalar means: the core schema of YAML 1.2.2, section 10.3.
#include "util/yaml.hpp"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace mlops::util {

using Kind = YamlNode::Kind;

nlohmann::json plain_value(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const auto as_text = [&] { return nlohmann::json(std::string(text)); };

  std::string_view body = text;
  const bool minus = body[0] == '-';
  if (minus || body[0] == '+') body.remove_prefix(1);
  if (body.empty()) return as_text();
  if (body == ".inf" || body == ".Inf" || body == ".INF") {
    return minus ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return std::numeric_limits<double>::quiet_NaN();

  const char* const end = body.data() + body.size();
  if (body.size() > 2 && body[0] == '0' && (body[1] == 'x' || body[1] == 'o') && body.size() == text.size()) {
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(body.data() + 2, end, value, body[1] == 'x' ? 16 : 8);
    if (error != std::errc() || stop != end) return as_text();
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return static_cast<std::int64_t>(value);
    return value;
  }
  if (body.find_first_not_of("0123456789") == body.npos) {
    if (body.size() > 1 && body[0] == '0') return as_text();
    const std::string_view digits = minus ? text : body;
    std::int64_t value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error == std::errc() && stop == end) return value;
    std::uint64_t large = 0;
    if (!minus && std::from_chars(body.data(), end, large).ec == std::errc()) return large;
    return as_text();
  }
  // [0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)? or \.[0-9]+...: from_chars alone would also take "inf" and "nan".
  if (body.find_first_not_of("0123456789.eE+-") != body.npos || body[0] == 'e' || body[0] == 'E' ||
      body == ".")
    return as_text();
  if (body[0] == '-' || body[0] == '+' || body.starts_with(".e") || body.starts_with(".E")) return as_text();
  double value = 0;
  const auto [stop, error] = std::from_chars(body.data(), end, value);
  if (error != std::errc() || stop != end || !std::isfinite(value)) return as_text();
  return minus ? -value : value;
}

nlohmann::json to_json(const YamlNode& node) {
  switch (node.kind) {
    case Kind::null: return nullptr;
    case Kind::scalar: return node.quoted ? nlohmann::json(node.text) : plain_value(node.text);
    case Kind::list: {
      nlohmann::json list = nlohmann::json::array();
      for (const YamlNode& item : node.items) list.push_back(to_json(item));
      return list;
    }
    case Kind::map: {
      nlohmann::json map = nlohmann::json::object();
      for (const YamlEntry& entry : node.entries) map[entry.key] = to_json(entry.value);
      return map;
    }
  }
  return nullptr;
}

}  // namespace mlops::util
