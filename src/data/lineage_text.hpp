// Lineage for people and other programs.
#pragma once

#include "data/lineage.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace mlops::data {

/// A tree upwards (who made it, of what), one downwards (who read it, and made what), each part once. Lines
/// end with a newline; names are as recorded.
std::string lineage_tree(const Lineage& lineage);

std::string lineage_dot(const Lineage& lineage);
std::string lineage_mermaid(const Lineage& lineage);
nlohmann::json lineage_json(const Lineage& lineage);

}  // namespace mlops::data
