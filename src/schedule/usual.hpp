// How long runs take, from those that succeeded.
#pragma once

#include <mlops/pipeline.hpp>

#include "calendar/time_zone.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace mlops::schedule {

using std::chrono::milliseconds;

/// So many of the newest runs count.
constexpr int runs_that_count = 50;

struct Usual {
  std::size_t runs = 0;
  milliseconds median{0};
  milliseconds slow{0};  ///< 95 of 100 take no longer
};

/// Nothing if there were none.
std::optional<Usual> usual_of(std::vector<std::int64_t> durations_ms);

/// A step of a run that goes on.
struct StepProgress {
  bool done = false;
  std::optional<calendar::sys_seconds> running_since;
  milliseconds usual{0};  ///< 0: not known, or nothing
};

/// What is left of a run: its longest chain of steps that are not done, were there room for all at once.
struct Rest {
  milliseconds left{0};
  milliseconds after{0};  ///< what comes after the steps that run now, however long these take
};
Rest rest_of(const Graph& graph, const std::vector<StepProgress>& steps, calendar::sys_seconds now);

}  // namespace mlops::schedule
