// What the other side says is kept and shown; values of secrets that it repeats are not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlops::notify {

/// What gives a secret URL away: all of it, its path, each segment of that and each value of its query, also
/// as a server reads them (without %XX), and a user and password.
std::vector<std::string> telling_parts(const std::string& url);

/// What gives any other secret away: all of it, and each of its lines.
std::vector<std::string> telling_lines(const std::string& value);

/// `text` with "…" in the place of each of `parts`; those of less than 4 characters are left, as they stand
/// in words by chance.
std::string masked(std::string text, std::vector<std::string> parts);

}  // namespace mlops::notify
