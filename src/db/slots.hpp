// Schedules and their slots.
#pragma once

#include <mlops/slots.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::db {

/// By file and name.
std::vector<ScheduleRecord> schedules(Connection& db);
std::optional<ScheduleRecord> find_schedule(Connection& db, std::int64_t id);
std::vector<ScheduleRecord> schedules_of(Connection& db, const std::string& file);

/// Writes all but `id` of a schedule, by file and name; returns its id. Within a Transaction.
std::int64_t put_schedule(Connection& db, const ScheduleRecord& schedule);
/// Its name within its file, which no other has. Within a Transaction.
void rename_schedule(Connection& db, std::int64_t schedule, const std::string& name);
void set_cursor(Connection& db, std::int64_t schedule, std::chrono::sys_seconds cursor);

/// False, and nothing is written, if the slot has a row already. Within a Transaction.
bool put_slot(Connection& db, const SlotRecord& slot);
void update_slot(Connection& db, const SlotRecord& slot);
/// The last slot after `from` and up to `until` that was decided about before `when`.
std::optional<std::chrono::sys_seconds> decided_until(Connection& db, const ScheduleRecord& schedule,
                                                      std::chrono::sys_seconds from,
                                                      std::chrono::sys_seconds until, Instant when);
/// Deletes what was decided at `when` or later of slots after `from` and up to `until`, but for rows of many
/// and for slots that were ever claimed: a fence is given once. Within a Transaction.
void forget_slots(Connection& db, std::int64_t schedule, std::chrono::sys_seconds from,
                  std::chrono::sys_seconds until, Instant when);
/// Rows that stand for many, some of them after `from` and up to `until`, decided at `when` or later.
std::vector<SlotRecord> rows_of_many(Connection& db, const ScheduleRecord& schedule,
                                     std::chrono::sys_seconds from, std::chrono::sys_seconds until,
                                     Instant when);
/// The last slot of the schedule that has a row, or the beginning of time.
std::chrono::sys_seconds last_slot(Connection& db, std::int64_t schedule);
/// Larger than all before, of slots and of requests. Within a Transaction.
std::int64_t next_fence(Connection& db);

/// The last line of a claim's reason that begins so tells what it waits for, until its run begins.
constexpr const char* wait_word = "waits for ";

/// Marks the slot with this fence as run by `run_id`; false if the claim is not valid any more. Within a
/// Transaction.
bool start_slot(Connection& db, std::int64_t fence, const std::string& run_id, Instant now);

std::optional<SlotRecord> find_slot(Connection& db, std::int64_t schedule, std::chrono::sys_seconds at);
/// A row that stands for many, this one among them; rows up to `since` are of another definition.
std::optional<SlotRecord> slots_around(Connection& db, std::int64_t schedule, std::chrono::sys_seconds at,
                                       std::chrono::sys_seconds since);
/// Rows of slots after `from` and up to `until`, oldest first; of many in one row the first counts.
std::vector<SlotRecord> slots_between(Connection& db, std::int64_t schedule, std::chrono::sys_seconds from,
                                      std::chrono::sys_seconds until);
/// The times of rows from `first` to `last`, in order; but for those that clocks skip.
std::vector<std::chrono::sys_seconds> slot_times(Connection& db, std::int64_t schedule,
                                                 std::chrono::sys_seconds first,
                                                 std::chrono::sys_seconds last);
void delete_slot(Connection& db, std::int64_t id);
/// The slot that this run was for.
std::optional<SlotRecord> slot_of_run(Connection& db, const std::string& run_id);
std::optional<SlotRecord> slot_with_fence(Connection& db, std::int64_t fence);
/// Of one pipeline, oldest first.
std::vector<SlotRecord> claimed_slots(Connection& db, const std::string& pipeline);

struct SlotFilter {
  std::optional<std::int64_t> schedule;
  std::optional<std::chrono::sys_seconds> since, until = {};
  std::optional<SlotOutcome> outcome = {};
  int limit = 0;  ///< the newest so many; 0: all
};
/// Oldest first.
std::vector<SlotRecord> list_slots(Connection& db, const SlotFilter& filter);

}  // namespace mlops::db
