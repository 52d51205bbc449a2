// What became of slots that did not run, in the daemon's log: a line for each, and one for those in a row
// that come to the same.
#pragma once

#include <mlops/slots.hpp>

#include "db/database.hpp"
#include "schedule/ledger.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace mlops::daemon {

class Chronicle {
 public:
  using Say = std::function<void(const std::string&)>;
  Chronicle(db::Database& database, Say say) : database_(database), say_(std::move(say)) {}

  /// What the ledger has decided at `now` of slots after the cursor of `record`, as it was before.
  void tell(const ScheduleRecord& record, schedule::sys_seconds now);
  /// What has become of these, which were claimed, if they are not any more.
  void tell_of(const std::vector<SlotRecord>& claims);
  /// Of rows that go on, what was not told yet: the daemon stops.
  void close();

 private:
  /// Slots in a row that come to the same. The first is told at once; how many came after it when the row
  /// ends, and each hour.
  struct Row {
    std::string name;  ///< "churn main"
    SlotOutcome outcome{};
    std::string reason;
    std::string first, last;  ///< of those that were not told yet
    std::int64_t untold = 0;
    bool begun = false;  ///< some were told
    Instant told{};
  };
  void take(const ScheduleRecord& record, const SlotRecord& first, const std::string& last,
            std::int64_t slots, const std::string& reason);
  void tell(Row& row, Instant now);

  db::Database& database_;
  Say say_;
  std::map<std::int64_t, Row> rows_;  // by schedule
};

}  // namespace mlops::daemon
