#include "notify/masking.hpp"

#include "util/strings.hpp"
#include "util/web_url.hpp"

#include <algorithm>
#include <cctype>

namespace mlops::notify {

namespace {

constexpr std::size_t shortest = 4;

std::string without_percents(std::string_view text) {
  const auto digit = [](unsigned char c) { return std::isdigit(c) ? c - '0' : std::tolower(c) - 'a' + 10; };
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && is_hex(text[i + 1]) && is_hex(text[i + 2])) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string> parts_of_url(const std::string& url) {
  const std::string authority = util::authority_of(url);
  const std::string rest = url.substr(std::min(url.size(), url.find("://") + 3 + authority.size()));
  const std::string path = rest.substr(0, rest.find_first_of("?#"));
  std::vector<std::string> parts = {rest, path};
  for (std::string& segment : util::split(path, '/')) parts.push_back(std::move(segment));
  std::string pairs = rest.substr(path.size());
  std::ranges::replace_if(
      pairs, [](char c) { return c == '?' || c == '#' || c == ';'; }, '&');
  for (const std::string& pair : util::split(pairs, '&')) {
    const std::size_t equals = pair.find('=');
    parts.push_back(equals == pair.npos ? pair : pair.substr(equals + 1));
  }
  if (const std::size_t at = authority.rfind('@'); at != authority.npos) {
    const std::string user = authority.substr(0, at);
    parts.push_back(user);
    for (std::string& word : util::split(user, ':')) parts.push_back(std::move(word));
  }
  for (std::size_t i = 0, count = parts.size(); i < count; ++i) parts.push_back(without_percents(parts[i]));
  return parts;
}

}  // namespace

std::vector<std::string> telling_parts(const std::string& secret) {
  std::vector<std::string> parts = {secret};
  for (const std::string& line : util::split(secret, '\n')) {
    const std::string value(util::trim(line));
    parts.push_back(value);
    if (!util::is_web_url(value)) continue;
    for (std::string& part : parts_of_url(value)) parts.push_back(std::move(part));
  }
  return parts;
}

std::string masked(std::string text, std::vector<std::string> parts) {
  // The longest first: what is left of one whose beginning is a part of its own would still be read.
  std::ranges::stable_sort(parts, std::ranges::greater(), &std::string::size);
  for (const std::string& part : parts) {
    if (part.size() < shortest) break;
    for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at))
      text.replace(at, part.size(), "…");
  }
  return text;
}

}  // namespace mlops::notify
