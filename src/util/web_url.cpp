#include "util/web_url.hpp"

#include "util/strings.hpp"

#include <algorithm>

namespace mlops::util {

bool is_web_url(std::string_view url) {
  const std::string lower = to_lower(url.substr(0, 8));
  const bool known = lower.starts_with("https://") || lower.starts_with("http://");
  return known && !authority_of(url).empty() &&
         std::ranges::none_of(url, [](unsigned char c) { return c <= ' ' || c == 127; });
}

std::string authority_of(std::string_view url) {
  const std::size_t begin = url.find("://") + 3;
  return std::string(url.substr(begin, url.find_first_of("/?#\\", begin) - begin));
}

}  // namespace mlops::util
