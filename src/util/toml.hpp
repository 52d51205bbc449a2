// TOML as a tree whose keys keep the order of the file.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace mlops::util {

/// Throws BadFile with the place in `file` that cannot be read. Dates and times become their text.
nlohmann::ordered_json parse_toml(std::string_view text, const std::string& file);

std::string toml_library_version();

}  // namespace mlops::util
