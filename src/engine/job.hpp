// From a step of the pipeline to the request that the keeper gets.
#pragma once

#include <mlops/pipeline.hpp>

#include "engine/event_file.hpp"
#include "process/attempt.hpp"

#include <map>
#include <string>
#include <vector>

namespace mlops::engine {

/// Values that steps have set so far: by step name, then key.
using OutputValues = std::map<std::string, std::map<std::string, std::string>>;

/// What all steps of a run share.
struct JobContext {
  std::string run_id;
  std::string run_directory;
  std::string workspace_root;
  std::map<std::string, std::string> secrets;  ///< name -> value, resolved
  bool trace_reads = false;
  std::int64_t fence = 0;  ///< of the slot that the run is for; 0: none
  RunEvent event = {};     ///< that the run is for, if any
};

/// Fills `text` in; in a shell script each value becomes one quoted word. Throws Error(usage) naming a value
/// that no step has set.
std::string fill(const Text& text, const OutputValues& values, bool shell);

/// Throws Error(usage) when a value is missing.
process::StartRequest make_request(const Pipeline& pipeline, int step, int attempt,
                                   const std::vector<std::string>& gpus, const JobContext& context,
                                   const OutputValues& values);

/// The command as people read it: what run: says, with open references as written.
std::string command_text(const Step& step);

/// The PATH that the step will have.
std::string path_of(const Pipeline& pipeline, const process::StartRequest& request);

/// Fetches the values of all secrets that the steps in `selected` name. Throws Error(usage) for one that
/// cannot be had. Blocks while commands run.
std::map<std::string, std::string> resolve_secrets(const Pipeline& pipeline,
                                                   const std::vector<char>& selected);

}  // namespace mlops::engine
