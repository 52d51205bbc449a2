// How a claimed slot waits for the other runs of its pipeline, or ends them.
#include "calendar/instants.hpp"
#include "db/backfills.hpp"
#include "db/runs.hpp"
#include "db/slots.hpp"
#include "engine/cancellation.hpp"
#include "engine/recovery.hpp"
#include "process/identity.hpp"
#include "schedule/ledger.hpp"
#include "schedule/limits.hpp"
#include "schedule/rows.hpp"
#include "schedule/waits.hpp"
#include "util/time.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace mlops::schedule {

using std::chrono::milliseconds;

std::vector<std::string> live_runs(const Workspace& workspace, db::Connection& connection,
                                   const std::string& pipeline) {
  db::RunFilter filter;
  filter.pipeline = pipeline;
  filter.state = RunState::running;
  filter.limit = 0;
  std::vector<std::string> ids;
  for (const RunRecord& run : db::list_runs(connection, filter)) {
    if (engine::liveness(workspace, run.id) != engine::Liveness::dead &&
        !db::is_of_backfill(connection, run.id))
      ids.push_back(run.id);
  }
  return ids;
}

namespace {

// For the run before it, whose end wakes it: should that be overlooked.
constexpr milliseconds longest_wait = std::chrono::minutes(1);

// Its record tells only which signal it got.
void note_replaced(db::Database& database, const std::string& run, const Claimed& by) {
  db::Transaction transaction(database);
  auto slot = db::slot_of_run(database.connection(), run);
  if (!slot) return;
  slot->reason = "run " + by.claim.run_id + ", for the slot " + by.local + ", replaced its run";
  db::update_slot(database.connection(), *slot);
  transaction.commit();
}

/// Runs that are in the way, and whose end tells that they are not any more.
struct Obstacle {
  std::string run;  ///< one of them; empty: there is none
  std::vector<process::Identity> holders;
  bool in_motion = false;  ///< nobody's end tells it

  void add(const Workspace& workspace, const std::string& id) {
    run = id;
    const auto holder = engine::holder_of(workspace, id, engine::liveness(workspace, id));
    if (holder && process::is_alive(process::to_string(*holder))) {
      holders.push_back(*holder);
    } else {
      in_motion = true;
    }
  }
  std::string words() const { return "run " + run + " of the same pipeline"; }
  milliseconds look_after() const { return in_motion || holders.empty() ? look_again : longest_wait; }
};

}  // namespace

Permission turn_of(const Workspace& workspace, db::Connection& connection, const std::string& pipeline) {
  Obstacle others;
  for (const std::string& id : live_runs(workspace, connection, pipeline)) others.add(workspace, id);
  if (others.run.empty()) return {true, {}, {}, {}};
  return {false, util::now() + others.look_after(), others.holders, "waits for " + others.words()};
}

std::string make_way(const Workspace& workspace, db::Database& database, const Claimed& claimed,
                     const std::function<void(const std::string&)>& say) {
  if (claimed.overlap == Overlap::allow) return {};
  const std::string parent =
      process::to_string({::getppid(), process::start_ticks(::getppid()), process::boot_id()});
  std::string noted;
  while (true) {
    db::Connection& connection = database.connection();
    Obstacle others;
    for (const std::string& id : live_runs(workspace, connection, claimed.pipeline)) {
      const auto slot = db::slot_of_run(connection, id);
      // A run of a later slot is not replaced by an earlier one.
      if (claimed.overlap == Overlap::replace && !(slot && slot->fence > claimed.claim.fence)) {
        say("ending run " + id + ", which this one replaces");
        engine::cancel_run(workspace, database, id, {});
        note_replaced(database, id, claimed);
      } else {
        others.add(workspace, id);
      }
    }
    // Those that were claimed before come first; but what takes turns and is still in the hands of who
    // started this process waits for this one.
    for (const SlotRecord& slot : db::claimed_slots(connection, claimed.pipeline)) {
      const bool behind = slot.claimer == parent && slot.overlap == to_string(Overlap::queue);
      if (slot.fence < claimed.claim.fence && !behind && process::is_alive(slot.claimer)) {
        others.run = slot.run_id;
        others.in_motion = true;
      }
    }
    const auto own = db::slot_with_fence(connection, claimed.claim.fence);
    if (own && own->outcome != SlotOutcome::claimed && own->outcome != SlotOutcome::ran)
      return std::string("it was ") + to_string(own->outcome) + " meanwhile: " + own->reason;
    if (others.run.empty()) return {};
    if (claimed.start_by && util::now() > *claimed.start_by) {
      Ledger(workspace, database).miss(claimed.claim.fence, calendar::now_seconds());
      return "it had to wait, and `start_within` has passed";
    }
    if (noted.empty()) say("waiting for " + others.words());
    if (std::exchange(noted, others.run) != others.run)
      note_waits(database, {{claimed.claim.fence, "waits for " + others.words()}});
    milliseconds pause = others.look_after();
    if (claimed.start_by)
      pause =
          std::min(pause, std::chrono::ceil<milliseconds>(*claimed.start_by - util::now()) + milliseconds(1));
    process::await_end_of_one(others.holders, static_cast<int>(pause.count()));
  }
}

}  // namespace mlops::schedule
