// Every name that mlops gives to a file, in one place. They are on users' disks and must not be changed.
#pragma once

#include <string>

namespace mlops::layout {

inline constexpr const char* state_directory = ".mlops";
inline constexpr const char* database = "mlops.db";
inline constexpr const char* runs = "runs";

// Below runs/ID/:
inline constexpr const char* definition = "pipeline.yaml";  // the file as it was when the run started
inline constexpr const char* settings = "run.json";         // how the run was asked for
inline constexpr const char* params = "params.json";        // what MLOPS_PARAMS points to
inline constexpr const char* attempts = "attempts";         // exit records, see process/attempt.cpp
inline constexpr const char* output_index =
    "output.idx";  // which stream wrote when, see process/step_log.hpp
inline constexpr const char* runner_lock = "runner.lock";
inline constexpr const char* keeper_lock = "keeper.lock";
inline constexpr const char* logs = "logs";
inline constexpr const char* files = "files";  // what steps write to MLOPS_METRICS and MLOPS_OUTPUT

inline std::string in(const std::string& directory, const char* name) { return directory + "/" + name; }
inline std::string metrics_file(const std::string& run, const std::string& step, int attempt) {
  return in(run, files) + "/" + step + "." + std::to_string(attempt) + ".metrics";
}
inline std::string output_file(const std::string& run, const std::string& step, int attempt) {
  return in(run, files) + "/" + step + "." + std::to_string(attempt) + ".output";
}

}  // namespace mlops::layout
