// What is valid in a pipeline file and seldom meant.
#pragma once

#include <mlops/pipeline.hpp>

#include "calendar/fires.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace mlops::pipeline {

struct Doubt {
  std::string key;     ///< of the entry: cron, every, at, end, jitter, fresh_within, overlap
  std::size_t at = 0;  ///< where in its value
  std::string message;
  std::string hint;
};

/// Of an entry of `schedule:`; which slots are to come, and how far they lie apart, is looked at from `from`
/// on.
std::vector<Doubt> doubts_about(const Schedule& schedule, const calendar::Rule& rule,
                                calendar::sys_seconds from);

/// Of a file that was loaded without problems, in its order.
std::vector<Diagnostic> doubts_about(const Pipeline& pipeline, calendar::sys_seconds from);

}  // namespace mlops::pipeline
