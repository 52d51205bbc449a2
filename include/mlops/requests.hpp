// Door to src/db: runs that were asked for and wait, by hand, by an event or by a backfill.
#pragma once

#include <mlops/records.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops {

/// What has become of a request: `claimed` is about to begin, of one that was `started` the run tells more.
enum class RequestState { waiting, claimed, started, cancelled, rejected };

const char* to_string(RequestState state);
std::optional<RequestState> parse_request_state(std::string_view text);

constexpr const char* default_queue = "default";
constexpr int least_priority = -1'000, most_priority = 1'000;

struct RequestRecord {
  std::int64_t id = 0;
  std::string queue = default_queue;
  std::string file;  ///< relative to the workspace if inside it
  std::string pipeline;
  std::string options = "{}";  ///< JSON, see schedule/requests.hpp
  int priority = 0;            ///< larger ones first
  int concurrency = 0;         ///< runs of the pipeline at a time, as its file says; 0: no limit
  std::string source = "submit";
  std::string cause;                  ///< for people
  std::optional<std::string> dedupe;  ///< there is one of each
  std::optional<std::int64_t> backfill;
  Instant not_before{};
  RequestState state = RequestState::waiting;
  std::string reason;
  std::string run_id;                 ///< chosen when it is claimed
  std::optional<std::int64_t> fence;  ///< of the last claim
  std::string claimer;
  int attempts = 0;  ///< processes of its own that took it up, to begin the run
  Instant submitted_at{};
  std::string submitted_by;
  std::optional<Instant> claimed_at, decided_at;
};

}  // namespace mlops
