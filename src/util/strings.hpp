#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlops::util {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
/// ASCII letters only.
std::string to_lower(std::string_view text);

/// `text` as one word of /bin/sh: unchanged if it needs no quotes, else in single quotes.
std::string shell_quote(std::string_view text);

/// The candidate nearest to `word` if it is near enough to be a slip of the fingers, else "".
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

/// "did you mean 'X'?" for closest(), else the candidates listed ("known: a, b, c"; only as many as can be
/// read at a glance, then how many more), else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

bool is_utf8(std::string_view bytes);

/// `bytes` with every ill-formed sequence replaced by U+FFFD, fit for JSON and terminals.
std::string to_utf8(std::string_view bytes);

/// `text` on one line and harmless to a terminal: a line break is shown as \n, other control characters as
/// \t, \x1b. Backslashes stay as they are: it is for reading, not for reading back.
std::string escape_controls(std::string_view text);

/// Width in terminal columns, good enough for names and paths: one per code point, two for wide ones.
int display_width(std::string_view utf8);

}  // namespace mlops::util
