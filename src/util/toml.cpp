#include "util/toml.hpp"

#include <mlops/error.hpp>

#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 1
#include <algorithm>
#include <sstream>
#include <vector>

#include <toml++/toml.h>

namespace mlops::util {

namespace {

using Value = nlohmann::ordered_json;

Value value_of(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    // toml++ sorts by key; what DVC writes follows the file.
    std::vector<std::pair<toml::source_position, const toml::key*>> keys;
    for (const auto& entry : *table) keys.emplace_back(entry.first.source().begin, &entry.first);
    std::ranges::stable_sort(keys, [](const auto& a, const auto& b) { return a.first < b.first; });
    Value map = Value::object();
    for (const auto& [at, key] : keys) map[std::string(key->str())] = value_of(*table->get(key->str()));
    return map;
  }
  if (const auto* array = node.as_array()) {
    Value list = Value::array();
    for (const auto& item : *array) list.push_back(value_of(item));
    return list;
  }
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  std::ostringstream out;
  if (const auto* date = node.as_date()) out << date->get();
  if (const auto* time = node.as_time()) out << time->get();
  if (const auto* when = node.as_date_time()) out << when->get();
  return out.str();
}

}  // namespace

Value parse_toml(std::string_view text, const std::string& file) {
  try {
    return value_of(toml::parse(text, file));
  } catch (const toml::parse_error& error) {
    const auto at = error.source().begin;
    throw BadFile({{file,
                    {static_cast<int>(at.line), static_cast<int>(at.column)},
                    std::string(error.description()),
                    "correct the TOML"}});
  }
}

std::string toml_library_version() {
  return std::to_string(TOML_LIB_MAJOR) + "." + std::to_string(TOML_LIB_MINOR) + "." +
         std::to_string(TOML_LIB_PATCH);
}

}  // namespace mlops::util
