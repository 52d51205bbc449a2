#pragma once

#include <string>
#include <string_view>

namespace mlops::util {

/// http:// or https:// and a host, without blanks and control characters.
bool is_web_url(std::string_view url);

/// Of such a URL, "hooks.example.org:8443", with a user and a password if it has them.
std::string authority_of(std::string_view url);

}  // namespace mlops::util
