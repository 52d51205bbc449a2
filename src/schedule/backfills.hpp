// Backfills: slots of the past are run afterwards, as requests of the lowest priority. What is left of one is
// in the ledger and the queue, so that any process may go on with it. Where the ledger has come to is not
// moved.
#pragma once

#include <mlops/backfills.hpp>
#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/backfill_plan.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// Below all that is live, but for what a file or a user puts lower still.
constexpr int backfill_priority = -100;

/// The entry of the file that is meant: the one of that name, or the only one if `name` is empty. Throws
/// Error(usage).
Timetable entry_of(const Pipeline& pipeline, const std::string& name, pipeline::Zones& zones);

/// How far a backfill has come.
struct BackfillProgress {
  std::size_t slots = 0, waiting = 0, running = 0, done = 0, failed = 0, cancelled = 0, deleted = 0;
  bool is_over() const { return waiting + running == 0; }
  /// All that it was to run is done, by itself or by somebody else.
  bool is_done() const { return done + cancelled == slots; }
};
BackfillProgress progress_of(const std::vector<BackfillSlot>& slots);

class Backfills {
 public:
  /// Both outlive it.
  Backfills(const Workspace& workspace, db::Database& database)
      : workspace_(workspace), database_(database) {}

  /// Adds what the ledger knows of these slots of the entry, and whether the runs that they had did what
  /// `pipeline` says now.
  void recall(const Pipeline& pipeline, const Timetable& timetable, std::vector<SlotHistory>& slots);

  /// How long a run of the pipeline takes; nothing if none has succeeded yet.
  std::optional<Milliseconds> usual(const std::string& pipeline);

  /// Asks for a run of each slot that is chosen, but for those that somebody has asked for meanwhile. Durable
  /// when it returns; nullopt, and nothing is written, if that leaves none. `pipeline` is loaded for no slot.
  std::optional<std::int64_t> begin(const Pipeline& pipeline, const Timetable& timetable,
                                    const BackfillPlan& plan, int jobs);

  /// Nothing of it is started any more; what runs goes on.
  void pause(std::int64_t id);
  /// What waits may go on, and what was interrupted or could not be started is asked for again. `jobs` 0: as
  /// many at a time as before. Throws Error(usage) for one that was cancelled.
  void resume(std::int64_t id, int jobs);
  /// What waits is not run; what runs goes on.
  void cancel(std::int64_t id);

  /// For a process that is about to run a request: why it is not to, if the request is a part of a backfill
  /// and somebody has run its slot meanwhile, or is about to; the request is cancelled then.
  std::optional<std::string> refusal(const RequestRecord& request);

  /// Throws Error(usage) if there is no such backfill.
  BackfillRecord get(std::int64_t id);

 private:
  std::int64_t ask(const BackfillRecord& backfill, const Pipeline& pipeline, const Timetable& timetable,
                   sys_seconds at, db::Transaction& transaction);
  std::string who_has_the_slot(const RequestRecord& request);
  ScheduleRecord schedule_of_entry(const Pipeline& pipeline, const Timetable& timetable);

  const Workspace& workspace_;
  db::Database& database_;
};

}  // namespace mlops::schedule
