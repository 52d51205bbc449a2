#include "schedule/usual.hpp"

#include <algorithm>

namespace mlops::schedule {

std::optional<Usual> usual_of(std::vector<std::int64_t> durations_ms) {
  if (durations_ms.empty()) return std::nullopt;
  std::ranges::sort(durations_ms);
  const std::size_t n = durations_ms.size();
  return Usual{n, milliseconds(durations_ms[(n - 1) / 2]),
               milliseconds(durations_ms[(n * 95 + 99) / 100 - 1])};
}

Rest rest_of(const Graph& graph, const std::vector<StepProgress>& steps, calendar::sys_seconds now) {
  Rest rest;
  bool idle = true;
  std::vector<milliseconds> chain(steps.size());  // from the step on, the step included
  for (auto it = graph.order.rbegin(); it != graph.order.rend(); ++it) {
    const auto index = static_cast<std::size_t>(*it);
    const StepProgress& step = steps[index];
    milliseconds after{0};
    for (const int next : graph.feeds[index]) after = std::max(after, chain[static_cast<std::size_t>(next)]);
    if (step.done) {
      chain[index] = after;
    } else if (step.running_since) {
      chain[index] = std::max(milliseconds(0), step.usual - (now - *step.running_since)) + after;
      rest.after = std::max(rest.after, after);
      idle = false;
    } else {
      chain[index] = step.usual + after;
    }
    rest.left = std::max(rest.left, chain[index]);
  }
  if (idle) rest.after = rest.left;
  return rest;
}

}  // namespace mlops::schedule
