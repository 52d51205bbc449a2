#include "schedule/staleness.hpp"

#include <mlops/error.hpp>

#include "calendar/instants.hpp"
#include "process/lock_file.hpp"
#include "util/files.hpp"
#include "util/quantity.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <algorithm>

namespace mlops::schedule {

using std::chrono::seconds;

namespace {

std::string advice_for_slots(const Workspace& workspace) {
  const std::string lock = layout::in(workspace.state_directory(), layout::daemon_lock);
  if (!process::LockFile::is_locked(lock)) return "no daemon runs: start one with `mlops daemon`";
  const auto holder = process::LockFile::holder(lock);
  return "the daemon" + (holder ? ", process " + std::to_string(holder->pid) + "," : std::string()) +
         " runs and does not get on: see what it says, and start it again";
}

}  // namespace

const char* to_string(Stale::Kind kind) {
  constexpr const char* words[] = {"slots", "file", "promise"};
  return words[static_cast<int>(kind)];
}

std::vector<Stale> stale_schedules(const Workspace& workspace, db::Connection& connection, sys_seconds now,
                                   seconds grace) {
  std::vector<Stale> list;
  for (const Known& known : known_schedules(workspace, connection)) {
    const ScheduleRecord& record = known.record;
    if (record.removed_at) continue;
    if (record.served && !record.problem.empty()) {
      list.push_back(
          {Stale::Kind::file, record, record.problem, "`mlops validate " + record.file + "` tells more"});
    }
    if (!known.timetable) continue;
    const Timetable& timetable = *known.timetable;
    const auto next = calendar::next_fire(timetable.rule, record.cursor);
    // One that was paused is looked at all the same.
    if (record.served && next && *next + timetable.delay + grace < now) {
      list.push_back({Stale::Kind::slots, record,
                      "nobody has looked at its slot of " + timetable.text(*next) + ", due " +
                          util::format_duration(now - *next - timetable.delay) + " ago",
                      advice_for_slots(workspace)});
    }
    for (const Standing& standing : standings_of(workspace, connection, record, timetable, now)) {
      if (standing.state == Standing::State::kept || standing.made_up) continue;
      list.push_back({Stale::Kind::promise, record, standing.words,
                      "`mlops schedule audit " + record.file + "` tells what became of its slots",
                      standing.state == Standing::State::at_risk});
    }
  }
  return list;
}

std::vector<engine::Finding> examine(const std::optional<Workspace>& workspace) {
  using State = engine::Finding::State;
  std::vector<engine::Finding> findings;
  if (!workspace || !util::exists(workspace->database_path())) return findings;
  try {
    db::Database database = db::Database::open_to_read(
        workspace->database_path(), workspace->trusted() ? db::Access::write : db::Access::read_only);
    const auto now = calendar::now_seconds();
    const std::vector<Known> all = known_schedules(*workspace, database.connection());
    const auto count =
        std::ranges::count_if(all, [](const Known& known) { return !known.record.removed_at; });
    for (Stale& stale : stale_schedules(*workspace, database.connection(), now, std::chrono::minutes(5))) {
      findings.push_back({stale.kind == Stale::Kind::promise ? "promise" : "schedule",
                          stale.ahead ? State::note : State::problem,
                          stale.record.pipeline + " " + stale.record.name + ": " + stale.words,
                          std::move(stale.advice)});
    }
    if (findings.empty() && count > 0)
      findings.push_back(
          {"schedules", State::good, std::to_string(count) + " in the ledger, all as promised", ""});
  } catch (const Error&) {
    // What is wrong with the database is told elsewhere.
  }
  return findings;
}

}  // namespace mlops::schedule
