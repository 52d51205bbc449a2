#include "util/xml_text.hpp"

#include <charconv>
#include <utility>

namespace mlops::util {

namespace {

constexpr std::pair<std::string_view, char> entities[] = {
    {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};

// The character that an entity stands for, or what was written where it is none.
std::string resolve(std::string_view name) {
  for (const auto& [known, character] : entities) {
    if (name == known) return std::string(1, character);
  }
  unsigned code = 0;
  const bool hex = name.starts_with("#x");
  const std::string_view digits = name.substr(hex ? 2 : name.starts_with("#") ? 1 : name.size());
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() || code == 0 ||
      code > 127)
    return "&" + std::string(name) + ";";
  return std::string(1, static_cast<char>(code));
}

}  // namespace

std::vector<std::string_view> xml_elements(std::string_view xml, std::string_view name) {
  std::vector<std::string_view> elements;
  const std::string close = "</" + std::string(name) + ">";
  for (std::size_t at = 0; (at = xml.find("<", at)) != xml.npos;) {
    std::string_view tag = xml.substr(at + 1);
    const std::size_t end = tag.find('>');
    if (end == tag.npos) break;
    tag = tag.substr(0, end);
    at += end + 2;
    if (!tag.starts_with(name) ||
        (tag.size() > name.size() && tag[name.size()] != ' ' && tag != std::string(name) + "/"))
      continue;
    if (tag.ends_with('/')) {
      elements.emplace_back();
      continue;
    }
    const std::size_t stop = xml.find(close, at);
    if (stop == xml.npos) break;
    elements.push_back(xml.substr(at, stop - at));
    at = stop + close.size();
  }
  return elements;
}

std::optional<std::string> xml_text(std::string_view xml, std::string_view name) {
  const auto elements = xml_elements(xml, name);
  if (elements.empty()) return std::nullopt;
  std::string text;
  for (std::string_view rest = elements[0]; !rest.empty();) {
    const std::size_t start = rest.find('&'), end = rest.find(';', start == rest.npos ? 0 : start);
    text += rest.substr(0, start);
    if (start == rest.npos) break;
    if (end == rest.npos) {
      text += rest.substr(start);
      break;
    }
    text += resolve(rest.substr(start + 1, end - start - 1));
    rest.remove_prefix(end + 1);
  }
  return text;
}

std::string xml_escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else
      escaped += c;
  }
  return escaped;
}

}  // namespace mlops::util
