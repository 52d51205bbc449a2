// Which entries to move by some minutes so that fewer runs go on at once. Each stays in its hours and keeps
// how often it runs; what has a deadline, or is spread already (H, ~), stays where it is.
#pragma once

#include "schedule/forecast.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace mlops::schedule {

struct Move {
  std::size_t subject = 0;
  std::string key;       ///< what of the entry is to be changed: cron or start
  std::string from, to;  ///< its value; `from` may be empty
};

struct Staggering {
  std::vector<Move> moves;            ///< none: nothing would be gained
  std::size_t before = 0, after = 0;  ///< runs at once at the most
};

/// `forecast` is that of the subjects as they are.
Staggering stagger(const std::vector<Subject>& subjects, const Forecast& forecast, const Window& window);

}  // namespace mlops::schedule
