// How the promises of schedules stand by what the database knows; told once, also across restarts.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/known.hpp"
#include "schedule/promises.hpp"

#include <functional>
#include <string>
#include <vector>

namespace mlops::schedule {

std::optional<Usual> usual_of(db::Connection& connection, const std::string& pipeline);

/// The promises of one entry; none while it is paused, removed or cannot be read.
std::vector<Standing> standings_of(const Workspace& workspace, db::Connection& connection,
                                   const ScheduleRecord& record, const Timetable& timetable, sys_seconds now);

/// A promise of an entry.
struct Promise {
  ScheduleRecord record;
  Standing standing;
};

/// All promises of the ledger.
std::vector<Promise> promises_of(const Workspace& workspace, db::Connection& connection, sys_seconds now);

/// Of `standings` those at risk and missed that nobody has been told of yet: they count as told from now on,
/// durably, and the caller has to tell them. `within` is called for each in the transaction that says so, for
/// what must be written along with it; see Occasion::late of mlops/notification.hpp.
std::vector<Promise> news_of_promises(db::Database& database, const ScheduleRecord& record,
                                      const std::vector<Standing>& standings,
                                      const std::function<void(const Promise&)>& within = nullptr);

}  // namespace mlops::schedule
