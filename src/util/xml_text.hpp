// As much of XML as the answers of object stores need: elements by name and their text. No attributes, no
// documents of strangers that must be valid.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::util {

/// What lies between <NAME> and </NAME> in `xml`, for each such element from left to right, as it is written.
/// Elements of one name within each other are not understood.
std::vector<std::string_view> xml_elements(std::string_view xml, std::string_view name);

/// The text of the first element called `name`, entities resolved; nullopt if there is none.
std::optional<std::string> xml_text(std::string_view xml, std::string_view name);

/// `text` with &, < and > written as entities.
std::string xml_escape(std::string_view text);

}  // namespace mlops::util
