// An entry of `triggers:` as its row keeps it.
#pragma once

#include <mlops/events.hpp>
#include <mlops/pipeline.hpp>

namespace mlops::triggers {

const char* to_string(Trigger::Kind kind);
Trigger::Kind kind_of(const TriggerRecord& record);

Json definition_of(const Trigger& trigger);
Trigger trigger_of(const Json& definition);

/// Whether two definitions look at the same, however often they do.
bool same_subject(const Json& a, const Json& b);

Trigger trigger_of(const TriggerRecord& record);

/// The URL of `http`; one that is a secret by its name.
std::string shown_url(const Trigger& trigger);

/// What it looks at, in few words: "files data/*.csv", "http https://…".
std::string words_for(const Trigger& trigger);

/// An event, and what came of it: "1 changed: a.csv (request 5)".
std::string words_for(const EventRecord& event);

/// Whether events without a run yet may share one, as the run sees what is there when it begins. Those of the
/// others have something to tell that is theirs alone.
bool shares_runs(Trigger::Kind kind);

/// Whether it waits for ends of runs, of which the workspace itself tells.
bool follows_runs(Trigger::Kind kind);

}  // namespace mlops::triggers
