// Door to src/db: what makes pipelines run besides time, and what became of each event.
#pragma once

#include <mlops/records.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops {

/// What came of an event: a run was asked for, or the one that waits already will do for it; nothing, as the
/// trigger is paused or the event must not have a run; or it was there before the trigger was (`known`).
enum class EventOutcome { requested, joined, paused, refused, known };

const char* to_string(EventOutcome outcome);
std::optional<EventOutcome> parse_event_outcome(std::string_view text);

/// An entry of a pipeline file's `triggers:` with what it saw last.
struct TriggerRecord {
  std::int64_t id = 0;
  std::string file;  ///< relative to the workspace if inside it
  std::string name;
  std::string pipeline;
  std::string kind;        ///< files, succeeded, webhook, http, sql, metric
  std::string definition;  ///< JSON of the entry
  int priority = 0;
  int concurrency = 0;
  std::string state;         ///< JSON; empty: it has not looked yet
  std::int64_t version = 0;  ///< of the state
  std::optional<Instant> looked_at;
  std::string problem;  ///< why it cannot look just now
  bool served = false;  ///< the daemon looks
  Instant created_at{};
  std::optional<Instant> removed_at, paused_at;
  std::string pause_note;
};

struct EventRecord {
  std::int64_t id = 0;
  std::int64_t trigger = 0;
  std::string dedupe;   ///< there is one of each
  std::string what;     ///< in words
  std::string payload;  ///< JSON
  Instant at{};
  EventOutcome outcome = EventOutcome::requested;
  std::string reason;
  std::optional<std::int64_t> request;
};

/// The end of a run, in the order in which ends were recorded.
struct RunEnd {
  std::int64_t sequence = 0;
  std::string run_id;
  std::string pipeline;
  RunState state = RunState::failed;
};

}  // namespace mlops
