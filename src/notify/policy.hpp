// Who is told what, and when it is tried again: decisions without side effects.
#pragma once

#include <mlops/notification.hpp>
#include <mlops/outbox.hpp>
#include <mlops/records.hpp>

#include "db/outbox.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mlops::notify {

/// How a run has ended, for those who are to be told; none: nobody is, as when it was cancelled.
std::optional<Occasion> end_of(const RunRecord& run);

/// What is left of trouble after such an end: none after a success.
std::optional<TroubleRecord> trouble_after(Occasion end, const std::optional<TroubleRecord>& before,
                                           Instant now);

/// What the entry tells of such an end. A success after what it would have told of is a recovery; a refusal
/// counts only for an entry that tells of refusals.
std::optional<Occasion> told_of(const Notification& entry, Occasion end,
                                const std::optional<TroubleRecord>& before);

/// Whether the entry has told of the occasion not long before.
bool too_soon(const db::Told& told, std::chrono::milliseconds every, Instant now);

/// What came of trying to send a message.
struct Outcome {
  enum class Kind { sent, again, refused };
  Kind kind = Kind::sent;
  std::string words;                          ///< why it was not sent
  std::optional<std::chrono::seconds> after;  ///< when the other side wants to be asked again
  bool silent = false;  ///< no answer at all: others for the same place need not try now
};

/// What the status of an answer means. `retry_after` is that header's value, seconds or a date.
Outcome outcome_of_status(int status, std::string_view retry_after, Instant now);

/// 30 s after the first attempt, twice as long after each further one, an hour at most; a little later for
/// some ids, so that not all come back at once.
Instant next_try(const MessageRecord& message, const Outcome& outcome, Instant now);

/// Brings the message up to what came of its last attempt. What has not been sent after a day is given up.
void settle(MessageRecord& message, const Outcome& outcome, Instant now);

constexpr std::chrono::hours patience{24};

/// Of a message whose sender has died. It stays with it: nobody knows whether it has arrived twice.
constexpr const char* sender_died =
    "a process that was sending it has died: it may arrive twice, with the same id";

}  // namespace mlops::notify
