// One look of a trigger: what there is now, and what has happened since the look before. It writes nothing:
// triggers/events.hpp does, unless another look came first. It may take long, so the daemon has processes of
// their own look at files, URLs and databases.
//
// How to add a kind of trigger: 1. Trigger::Kind and its values (include/mlops/trigger.hpp), read by
// pipeline/trigger_reader.cpp with the keys in pipeline/keys.cpp; 2. its word in db/triggers.cpp, its values
// and words in definition.cpp; 3. a look of its own here, called by look(); 4. when it is due, in
// daemon/trigger_desk.cpp; 5. docs/triggers.md.
#pragma once

#include <mlops/events.hpp>
#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::triggers {

struct Happening {
  std::string dedupe;        ///< of the trigger there is one of each
  std::string what;          ///< in words
  Json payload;              ///< for steps
  std::string refused = {};  ///< why it must not have a run
  bool known = false;        ///< it was there before the trigger was
};

struct Sight {
  std::optional<std::string> state;  ///< what to remember from now on; none: what it was
  std::vector<Happening> happenings;
  std::string words;  ///< what there is, for people
};

struct Scene {
  const Workspace& workspace;
  db::Connection& connection;
  std::string file;       ///< the pipeline file
  std::string directory;  ///< its own: paths are relative to it
};

/// Throws Error when it cannot be told what there is: then nothing has happened yet.
Sight look(const TriggerRecord& record, const Trigger& trigger, const Scene& scene);

Sight look_at_files(const TriggerRecord& record, const Trigger& trigger, const Scene& scene);
Sight look_at_successes(const TriggerRecord& record, const Trigger& trigger, const Scene& scene);
Sight look_at_metrics(const TriggerRecord& record, const Trigger& trigger, const Scene& scene);
Sight look_at_url(const TriggerRecord& record, const Trigger& trigger, const Scene& scene);
Sight look_at_rows(const TriggerRecord& record, const Trigger& trigger, const Scene& scene);

/// The state of a record; null before the first look.
Json state_of(const TriggerRecord& record);

/// Requests of one trigger that may wait, where each event has a run of its own.
constexpr std::size_t most_waiting = 100;

}  // namespace mlops::triggers
