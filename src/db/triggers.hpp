// Triggers, their events, and the ends of runs that some of them wait for.
#pragma once

#include <mlops/events.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

// Writing: within a Transaction of the caller.
/// Inserts, or changes all but the state of the one of this file and name. Returns its id.
std::int64_t put_trigger(Connection& db, const TriggerRecord& trigger);
/// Puts a new state in the place of the one of `version`; false if that is not the last one any more.
bool set_trigger_state(Connection& db, std::int64_t id, std::int64_t version, const std::string& state);
void set_trigger_looked(Connection& db, std::int64_t id, Instant at, const std::string& problem);
/// Returns its id; nullopt, and nothing is written, if the trigger has one of its key.
std::optional<std::int64_t> put_event(Connection& db, const EventRecord& event);
void set_event_request(Connection& db, std::int64_t id, std::int64_t request);
/// Old events keep their keys, not their contents: only those of the newest `keep` stay.
void forget_payloads(Connection& db, std::int64_t trigger, int keep);
void put_run_end(Connection& db, const std::string& run_id);

// Reading.
/// In the order of their files.
std::vector<TriggerRecord> triggers(Connection& db);
std::vector<TriggerRecord> triggers_of(Connection& db, const std::string& file);
std::optional<TriggerRecord> find_trigger(Connection& db, std::int64_t id);
bool has_event(Connection& db, std::int64_t trigger, const std::string& dedupe);
std::optional<EventRecord> event_with_key(Connection& db, std::int64_t trigger, const std::string& dedupe);
/// The event that the claimed request with this fence is for, the first of those that joined it.
std::optional<EventRecord> event_with_fence(Connection& db, std::int64_t fence);
/// The one that this run is for.
std::optional<EventRecord> event_of_run(Connection& db, const std::string& run_id);
/// Later ones of its trigger that are content with its run.
std::vector<EventRecord> events_that_joined(Connection& db, const EventRecord& event);
/// Requests of the trigger that wait, the first one first.
std::vector<std::int64_t> waiting_for(Connection& db, std::int64_t trigger);

struct EventFilter {
  std::optional<std::int64_t> trigger;
  std::optional<Instant> since;
  bool known = false;  ///< also those that were there before the trigger was
  int limit = 0;       ///< the newest so many; 0: all
};
/// Oldest first.
std::vector<EventRecord> list_events(Connection& db, const EventFilter& filter);

std::int64_t last_run_end(Connection& db);
/// Of these pipelines, or of all if none is named; at most `limit`.
std::vector<RunEnd> run_ends_after(Connection& db, std::int64_t sequence,
                                   const std::vector<std::string>& pipelines, int limit);

}  // namespace mlops::db
