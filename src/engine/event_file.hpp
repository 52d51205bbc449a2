// What a run that an event started is told of it: a JSON file in its directory, which steps find by
// MLOPS_EVENT.
#pragma once

#include <mlops/pipeline.hpp>

#include "db/database.hpp"
#include "engine/step_facts.hpp"

#include <cstdint>
#include <string>

namespace mlops::engine {

/// The event of a run, and its digest; without a path there is none.
struct RunEvent {
  std::string path;
  std::string digest;
};

/// Writes the file, if the claim with this fence is for an event.
void keep_event(db::Connection& connection, std::int64_t fence, const std::string& run_directory);

RunEvent event_of(const std::string& run_directory);

/// Whether the step's `run` or `env` names MLOPS_EVENT: only such a step gets it, and then the event is a
/// part of what the step depends on, as results of another event are not its own.
bool names_event(const Step& step);

void add_event(const Step& step, const RunEvent& event, StepFacts& facts);

}  // namespace mlops::engine
