// What yaml-cpp complains about, in plain words and at the place of the mistake.
#pragma once

#include <mlops/error.hpp>

#include <string>
#include <string_view>

namespace mlops::util {

/// The parser's `complaint` about `text`, which was read from `file`; `at` is where it gave up.
Diagnostic in_plain_words(const std::string& complaint, Location at, std::string_view text,
                          const std::string& file);

/// Moves `d` to where the mistake was made, if the place at which the parser gave up is not it.
void trace_back(Diagnostic& d, std::string_view text);

}  // namespace mlops::util
