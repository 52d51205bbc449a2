// Door to src/db: slots of the past that are run afterwards.
#pragma once

#include <mlops/requests.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops {

/// What there is of a slot: `stale` succeeded, by what the file does not say any more; for one that is
/// `waiting` a run was asked for.
enum class SlotState { missing, failed, stale, fresh, running, waiting };

const char* to_string(SlotState state);
std::optional<SlotState> parse_slot_state(std::string_view text);

/// An open one is done when nothing of it is left.
enum class BackfillState { open, paused, cancelled };

const char* to_string(BackfillState state);

struct BackfillRecord {
  std::int64_t id = 0;
  std::int64_t schedule = 0;
  std::string pipeline, file, entry;  ///< of the schedule
  std::chrono::sys_seconds from{}, to{};
  int jobs = 1;
  std::vector<std::string> overrides;
  BackfillState state = BackfillState::open;
  Instant created_at{};
  std::string created_by;
};

/// One of its slots, with what became of it.
struct BackfillSlot {
  std::chrono::sys_seconds at{};
  std::string local;
  SlotState was = SlotState::missing;
  std::string run_before;
  std::int64_t request = 0;
  RequestState asked = RequestState::waiting;
  std::string reason;  ///< why it was not run, or how its run ended
  std::string run_id;
  std::optional<RunState> run;  ///< none: there is no run, or it was deleted
  std::optional<std::int64_t> duration_ms;

  bool is_open() const {
    return asked == RequestState::waiting || asked == RequestState::claimed || is_running();
  }
  bool is_running() const { return asked == RequestState::started && run == RunState::running; }
  bool is_fresh() const { return asked == RequestState::started && run == RunState::succeeded; }
  bool is_failed() const {
    return asked == RequestState::rejected ||
           (asked == RequestState::started && run && !is_running() && !is_fresh());
  }
  /// Its run was deleted, so that nobody knows.
  bool is_deleted() const { return asked == RequestState::started && !run; }
};

}  // namespace mlops
