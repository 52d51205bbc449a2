// The ledger: a row for each slot, which ends in exactly one outcome. A daemon, a crontab line and a CI job
// share it: who writes the row first has the slot, and the fence of its claim is worth something only as long
// as nobody took it over.
#pragma once

#include <mlops/run.hpp>
#include <mlops/slots.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/decisions.hpp"
#include "schedule/limits.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::schedule {

/// A slot that is ours to run.
struct Claimed {
  SlotClaim claim;
  std::int64_t schedule = 0;
  std::string pipeline;
  std::string entry;
  sys_seconds at{};
  std::string local;
  Overlap overlap = Overlap::allow;  ///< what to do before it runs, see make_way(); never `skip`
  std::optional<Instant> start_by;   ///< later it counts as missed
};

/// A claim, or why there is none.
struct Answer {
  std::optional<Claimed> claimed;
  std::string entry;     ///< whose slot it is
  std::string local;     ///< the slot
  std::string refusal;   ///< in words
  std::string run_id;    ///< the run that has it or is in the way, if any
  bool deleted = false;  ///< that run had it, and is not on record any more
};

/// Whether a claimed slot may begin now; if not, when it may be worth another look, and whose end may let it.
struct Permission {
  bool granted = false;
  std::optional<Instant> next;
  std::vector<process::Identity> holders;
  std::string why = {};  ///< what holds it back, in words
  bool full = false;     ///< and all others: the workspace has as many runs as it may
};

/// A row of the ledger with its times.
struct Entry {
  ScheduleRecord record;
  const Timetable* timetable = nullptr;
};

/// Claims that a process knows that it has made.
using Fences = std::set<std::int64_t>;

/// A clock that is set back by less makes the scheduler wait until it has caught up.
constexpr std::chrono::minutes small_step{10};

/// So many slots may wait: of a pipeline for the runs before them, of a schedule for room.
constexpr std::size_t longest_queue = 100;

class Ledger {
 public:
  /// Both outlive the ledger.
  Ledger(const Workspace& workspace, db::Database& database) : workspace_(workspace), database_(database) {}

  /// Brings the rows of the file up to what it says: entries of a file that was not known begin now; of
  /// others, new ones and those that stand for other times than before begin when the file was last changed,
  /// and slots of before that are still open are void, as are those of entries that are gone. `serve`:
  /// whether the daemon runs it from now on; until `changed_after` nothing was other than it is on record.
  /// Returns the rows, in the order of `timetables`.
  std::vector<ScheduleRecord> adopt(const Pipeline& pipeline, const std::vector<Timetable>& timetables,
                                    sys_seconds now, std::optional<bool> serve = {},
                                    sys_seconds changed_after = {});

  /// Decides all slots of these entries that are due, and claims those that are to run. Durable when it
  /// returns, in one transaction. After a clock that was set back by much slots are decided about when their
  /// time comes, also those that have an outcome of a clock that was ahead; but none that was claimed. What a
  /// clock says that is behind the time at which the schedule began is no reason to make up for anything.
  std::vector<Claimed> settle(const std::vector<Entry>& entries, sys_seconds now,
                              const Absence& absence = {});

  /// Whether there is something for recover().
  bool has_dead_claims(const std::optional<Fences>& known = {});

  /// Slots that were claimed by a process which died before the run began, or, with `known`, by this one,
  /// which knows nothing of it, as after an error whose transaction was written: claims them again, in their
  /// order, or says that they were missed where the entry makes up for none. With `overlap: queue` they wait
  /// on: to have their turn before slots that are due now, recover() those entries before settle().
  std::vector<Claimed> recover(const std::vector<Entry>& entries, sys_seconds now,
                               const std::optional<Fences>& known = {});

  /// What is due counts as rejected: the file cannot be read, and what it said before is not run in its
  /// place.
  void refuse(const std::vector<Entry>& entries, sys_seconds now, const std::string& why);

  /// For `mlops run --slot`: the slot `at`, or, of the last ones of all entries before `now`, the newest that
  /// nobody has. Throws Error(usage) if there is no such slot.
  Answer claim(const Pipeline& pipeline, std::optional<std::string> at, sys_seconds now);

  /// Takes a claim over that the daemon made for this process; none if it is not valid any more, or if it
  /// comes too late.
  std::optional<Claimed> take_over(std::int64_t fence, sys_seconds now);

  /// Says of a claim that it had to wait for longer than its `start_within`.
  void miss(std::int64_t fence, sys_seconds now);

  /// The row of a claim; none if somebody else took it over.
  std::optional<SlotRecord> find_claim(std::int64_t fence);

  /// Lets a slot begin that this process has claimed, unless a limit holds it back; until then it does not
  /// count among what goes on.
  Permission let_go(std::int64_t fence, const Wish& wish, const workspace::Config& limits);

  /// What `${slot.…}` stands for in the run of a claim. Throws Error(usage) when the times of its schedule
  /// cannot be told any more.
  SlotValues values_of(const Claimed& claimed);

  /// The row of one slot, if it has one: divided from a row that stands for many, and no claim of a dead
  /// process any more. Within a transaction of the caller.
  std::optional<SlotRecord> set_apart(const ScheduleRecord& schedule, const Timetable& timetable,
                                      sys_seconds at, sys_seconds now);

  /// Says of a claim that it led to no run.
  void reject(std::int64_t fence, const std::string& reason);

  /// Whether the daemon runs it from now on. If not, what waits for its run to begin is superseded.
  void serve(const ScheduleRecord& schedule, bool served);

  /// What is due until now was missed, what waits for its run to begin counts as paused; from now on nothing
  /// is claimed, or again. A note that is empty leaves that of a pause before.
  void pause(const ScheduleRecord& schedule, const Timetable* timetable, const std::string& note,
             sys_seconds now);
  void resume(const ScheduleRecord& schedule, const Timetable* timetable, sys_seconds now);

 private:
  struct ToRun;
  void close_waiting(const ScheduleRecord& schedule, SlotOutcome outcome, const std::string& reason,
                     sys_seconds now);
  void write(const ScheduleRecord& schedule, const Timetable& timetable,
             const std::vector<Decision>& decisions, sys_seconds now);
  bool begin_anew(ScheduleRecord& schedule, sys_seconds now);
  sys_seconds open_after(const ScheduleRecord& schedule, const Timetable& timetable, sys_seconds until,
                         sys_seconds now);
  void take_out(const SlotRecord& many, const Timetable& timetable, sys_seconds from, sys_seconds until);
  void settle_one(const Entry& entry, sys_seconds now, const Absence& absence, std::vector<ToRun>& to_run);
  std::optional<Claimed> claim_or_skip(ToRun& slot, sys_seconds now);
  bool is_full(const ToRun& slot);
  void replace_waiting(const Claimed& by, sys_seconds now);
  Claimed claim_row(const ScheduleRecord& schedule, const Timetable& timetable, sys_seconds at,
                    Overlap overlap, const std::optional<SlotRecord>& before, sys_seconds now);
  void miss_row(SlotRecord& slot, const Schedule& policy, sys_seconds now);
  std::optional<SlotRecord> row_at(const ScheduleRecord& schedule, const Timetable& timetable,
                                   sys_seconds at);
  void bury(std::int64_t schedule, sys_seconds but, sys_seconds now);
  /// A live run, or a claim of a live process, of the pipeline; in words, with the run's id.
  std::optional<std::pair<std::string, std::string>> in_the_way(const std::string& pipeline);

  const Workspace& workspace_;
  db::Database& database_;
};

/// Whether a slot that takes turns may begin: not while another run of its pipeline goes on.
Permission turn_of(const Workspace& workspace, db::Connection& connection, const std::string& pipeline);

/// Waits for other runs of the pipeline (`queue`), or ends those of slots before (`replace`); `say` hears of
/// it. Returns why the slot is not to begin any more, as when that took too long; empty: it may.
std::string make_way(const Workspace& workspace, db::Database& database, const Claimed& claimed,
                     const std::function<void(const std::string&)>& say);

}  // namespace mlops::schedule
