// Watches over the promises of the schedules that the daemon serves: looks when there is news of one, and at
// the moment from which it could not be kept any more.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/standings.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace mlops::daemon {

class Vigil {
 public:
  /// Both outlive it.
  Vigil(const Workspace& workspace, db::Database& database) : workspace_(workspace), database_(database) {}

  /// From now on, if the entry makes promises.
  void watch(const ScheduleRecord& record, const schedule::Timetable& timetable);
  void forget(std::int64_t schedule) { watched_.erase(schedule); }

  /// Something became of a slot, of a run of the pipeline, or of the clock.
  void news_of(std::int64_t schedule);
  void news_of(const std::string& pipeline);
  void news_of_all();

  /// When to look next.
  std::optional<schedule::sys_seconds> next() const;
  /// What is to be told now, for the first time. Looks at so many at the most, as slots must not wait for it:
  /// then next() is in the past.
  std::vector<schedule::Promise> look(schedule::sys_seconds now, std::size_t most);

 private:
  void tell(const schedule::Promise& promise, const schedule::Timetable& timetable);

  struct Watched {
    std::string pipeline;
    schedule::Timetable timetable;
    std::optional<schedule::sys_seconds> look;
  };

  const Workspace& workspace_;
  db::Database& database_;
  std::map<std::int64_t, Watched> watched_;
};

}  // namespace mlops::daemon
