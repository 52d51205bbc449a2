// JSON of strangers.
#pragma once

#include <nlohmann/json.hpp>

#include <string_view>

namespace mlops::util {

constexpr int deepest_json = 200;  ///< writing it takes stack for each level

/// Discarded (`is_discarded()`) if it is no JSON, or is nested deeper than that.
nlohmann::json parse_json(std::string_view text);

}  // namespace mlops::util
