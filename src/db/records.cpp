#include <mlops/records.hpp>

#include <iterator>
#include <string_view>

namespace mlops {

namespace {

// These words are in databases and must not be changed.
constexpr const char* run_states[] = {"running", "succeeded", "failed", "cancelled", "interrupted"};
constexpr const char* step_states[] = {"pending", "running", "retrying", "succeeded",
                                       "cached",  "failed",  "lost",     "interrupted",
                                       "skipped", "not_run", "cancelled"};

template <typename State, std::size_t n>
std::optional<State> find(const char* const (&words)[n], std::string_view text) {
  for (std::size_t i = 0; i < n; ++i) {
    if (text == words[i]) return static_cast<State>(i);
  }
  return std::nullopt;
}

}  // namespace

const char* to_string(RunState state) { return run_states[static_cast<int>(state)]; }
const char* to_string(StepState state) { return step_states[static_cast<int>(state)]; }
std::optional<RunState> parse_run_state(std::string_view text) { return find<RunState>(run_states, text); }
std::optional<StepState> parse_step_state(std::string_view text) {
  return find<StepState>(step_states, text);
}

}  // namespace mlops
