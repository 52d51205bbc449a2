// What the other side says is kept and shown; values of secrets that it repeats are not.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlops::notify {

/// What gives a secret away: all of it and each of its lines; of a URL also its path, each segment of that,
/// each value of its query, and a user and password, as they are written and as a server reads them (without
/// %XX).
std::vector<std::string> telling_parts(const std::string& secret);

/// `text` with "…" in the place of each of `parts`; those of less than 4 characters are left, as they stand
/// in words by chance.
std::string masked(std::string text, std::vector<std::string> parts);

}  // namespace mlops::notify
