// Messages about runs.
#pragma once

#include <mlops/outbox.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

// Writing: within a Transaction.

/// False, and nothing is written, if its dedupe key is known already.
bool put_message(Connection& db, const MessageRecord& message);
/// Takes a message that waits and that nobody is sending; false if it is none.
bool claim_message(Connection& db, const std::string& id, const std::string& claimer);
/// Writes what became of a message that `claimer` was sending, or nobody if that is empty: state, next_at,
/// error, ended_at, attempts. Nobody is sending it any more. False, and nothing is written, if somebody else
/// has it, or it was sent.
bool settle_message(Connection& db, const MessageRecord& message, const std::string& claimer);
/// Deletes those that were sent or given up before.
void forget_messages(Connection& db, Instant before);

// Reading.

/// Those that wait and are due, oldest first, those of `run_id` before all others.
std::vector<MessageRecord> due_messages(Connection& db, Instant now, const std::string& run_id, int limit);
/// Those that somebody was sending, when last seen.
std::vector<MessageRecord> claimed_messages(Connection& db);
/// When the next one is due; none: nothing waits.
std::optional<Instant> next_message_at(Connection& db);
std::vector<MessageRecord> messages_of_run(Connection& db, const std::string& run_id);
/// Ids that begin or end with `text`.
std::vector<MessageRecord> find_messages(Connection& db, const std::string& text);

struct MessageFilter {
  std::optional<MessageState> state;
  std::optional<Instant> since;
  int limit = 0;  ///< the newest so many; 0: all
};
/// Newest first.
std::vector<MessageRecord> list_messages(Connection& db, const MessageFilter& filter);

/// What an entry has told of an occasion: when last, and how many were suppressed since.
struct Told {
  std::optional<Instant> last;
  std::int64_t left_out = 0;
};
Told last_told(Connection& db, const std::string& pipeline, const std::string& notification,
               const std::string& occasion);

std::optional<TroubleRecord> find_trouble(Connection& db, const std::string& pipeline);
void put_trouble(Connection& db, const std::string& pipeline, const TroubleRecord& trouble);
void end_trouble(Connection& db, const std::string& pipeline);

}  // namespace mlops::db
