// Events: what a trigger saw becomes a row, and that row's request for a run is written with it or not at
// all. Killed at any moment, nothing is lost and nothing happens twice: the next look begins where the last
// one ended that was recorded.
#pragma once

#include <mlops/events.hpp>
#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "triggers/look.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::triggers {

/// Payloads of so many events of a trigger are kept; of older ones the rest.
constexpr int kept_payloads = 1'000;

class Events {
 public:
  /// Both outlive it.
  Events(const Workspace& workspace, db::Database& database) : workspace_(workspace), database_(database) {}

  /// Brings the rows of the file up to what it says. A trigger that is new, or looks at something else than
  /// before, begins now: what is there already is no event. `serve`: whether the daemon looks from now on.
  /// Returns those that the file has, in its order.
  std::vector<TriggerRecord> adopt(const Pipeline& pipeline, std::optional<bool> serve = {});

  /// Looks, and records what was seen. Returns the events that are new.
  std::vector<EventRecord> look(std::int64_t trigger);

  /// Records what was seen when the trigger was as in `record`: durable when it returns. Returns the events
  /// that are new; nullopt, and nothing is written, where somebody else has recorded a look meanwhile, or the
  /// trigger is gone.
  std::optional<std::vector<EventRecord>> record(const TriggerRecord& record, const Sight& sight);

  /// Takes note of why the file's triggers cannot look.
  void refuse(const std::string& file, const std::string& why);

  void serve(const TriggerRecord& trigger, bool served);
  /// Events of a paused trigger are on record, and have no run.
  void pause(const TriggerRecord& trigger, const std::string& note);
  void resume(const TriggerRecord& trigger);

 private:
  /// Within the transaction; nullopt: it is known already.
  std::optional<EventRecord> put(const TriggerRecord& trigger, const Happening& happening,
                                 db::Transaction& transaction);
  template <typename Change>
  void change(const TriggerRecord& trigger, const Change& change);

  const Workspace& workspace_;
  db::Database& database_;
};

/// The pipeline file of a trigger, absolute.
std::string file_of(const Workspace& workspace, const TriggerRecord& trigger);

}  // namespace mlops::triggers
