// A second look at YAML that could not be parsed: what was begun and not ended.
#pragma once

#include <mlops/error.hpp>

#include <optional>
#include <string_view>
#include <vector>

namespace mlops::util {

/// The parser complains where it cannot go on, which may be far from the mistake: an open quote swallows all
/// that follows. This looks only at quotes, brackets, comments, block texts and indentation.
struct YamlShape {
  struct Open {
    Location at;
    char kind = 0;         ///< the quote or bracket: " ' [ {
    Location closer;       ///< of a bracket: where another one closes; no line if the file just ends
    char closer_kind = 0;  ///< that other one
  };
  struct LongText {
    Location begin, end;
  };
  std::optional<Open> open;          ///< the innermost that is not closed
  std::vector<LongText> long_texts;  ///< in quotes, of several lines
  std::vector<Location> tabs;        ///< used as indentation where YAML wants spaces
  int last_line = 1;
};

YamlShape shape_of_yaml(std::string_view text);

}  // namespace mlops::util
