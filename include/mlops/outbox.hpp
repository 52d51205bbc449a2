// Door to src/db: messages about runs, and what became of them.
#pragma once

#include <mlops/records.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlops {

enum class MessageState {
  waiting,     ///< to be sent, at first or again
  sent,        ///< the other side has taken it
  failed,      ///< it said no for good, or did not answer for a day
  suppressed,  ///< one like it was made not long before, see Notification::every
};
const char* to_string(MessageState state);
std::optional<MessageState> parse_message_state(std::string_view text);

struct MessageRecord {
  std::string id;  ///< the same in every attempt: receivers can tell a repetition by it
  std::string pipeline;
  std::string notification;  ///< the entry's name
  std::string occasion;      ///< failure, recovery, late, refused or success
  std::string run_id;        ///< empty: it is about no run
  std::string target;        ///< JSON of whom it goes to; secrets by name
  std::string subject;
  std::string body;  ///< as it is sent
  MessageState state = MessageState::waiting;
  int attempts = 0;
  Instant next_at{};  ///< when it is to be sent, while it waits
  std::string error;  ///< why the last attempt did not do, or why there was none
  Instant created_at{};
  std::optional<Instant> ended_at;  ///< when it was sent or given up
  std::string claimer;              ///< the process that is sending it; empty: none
  std::string dedupe;               ///< no two of one; empty: none
};

/// Since when, and how often, a pipeline has not succeeded.
struct TroubleRecord {
  Instant since{};
  std::int64_t failures = 0;
  std::int64_t refusals = 0;
};

}  // namespace mlops
