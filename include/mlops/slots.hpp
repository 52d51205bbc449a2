// Door to src/db: what became of each time at which a pipeline was to run.
#pragma once

#include <mlops/records.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops {

/// How a slot ended; `claimed` is the only one that is not an end: somebody is about to run it.
enum class SlotOutcome { claimed, ran, skipped, coalesced, missed, paused, superseded, rejected, gap };

const char* to_string(SlotOutcome outcome);
std::optional<SlotOutcome> parse_slot_outcome(std::string_view text);

/// An entry of a pipeline file's `schedule:` as the ledger knows it.
struct ScheduleRecord {
  std::int64_t id = 0;
  std::string file;  ///< relative to the workspace if inside it
  std::string name;
  std::string pipeline;
  std::string definition;             ///< JSON of the entry
  std::chrono::sys_seconds cursor{};  ///< of all slots up to it something has become
  std::chrono::sys_seconds since{};   ///< from then on the definition counts
  bool served = false;                ///< the daemon runs it
  Instant created_at{};
  std::optional<Instant> removed_at, paused_at;
  std::string pause_note;
  std::string problem;  ///< why its file cannot be read just now
};

/// One slot, or many in a row that came to the same.
struct SlotRecord {
  std::int64_t id = 0;
  std::int64_t schedule = 0;
  std::chrono::sys_seconds at{};
  std::string local;  ///< ISO 8601 with the offset of the schedule's zone
  SlotOutcome outcome = SlotOutcome::claimed;
  std::string reason;
  std::chrono::sys_seconds until{};  ///< the last of many, else `at`
  std::int64_t slots = 1;
  std::string run_id;
  std::optional<std::int64_t> fence;
  std::string claimer;
  Instant decided_at{};
  std::optional<std::int64_t> late_ms;
  std::optional<std::chrono::sys_seconds> unseen_from;  ///< nobody looked from then until `decided_at`
  std::string overlap;  ///< of a claimed one: what it does while another run is going on
  bool going = false;   ///< of a claimed one: no limit holds it back any more
};

}  // namespace mlops
