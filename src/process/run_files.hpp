// What the keeper and its runner write below a run's directory. The names are on users' disks and must not be
// changed.
#pragma once

#include <string>

namespace mlops::process::run_files {

inline constexpr const char* attempts = "attempts";        // exit records, see attempt.cpp
inline constexpr const char* output_index = "output.idx";  // which stream wrote when, see step_log.hpp
inline constexpr const char* keeper_lock = "keeper.lock";
inline constexpr const char* keeper_error = "keeper.error";  // why a keeper gave up
inline constexpr const char* logs = "logs";                  // for names see log_name

inline std::string in(const std::string& directory, const char* name) { return directory + "/" + name; }

/// Beside a log: the last bytes of a flood.
inline std::string log_tail(const std::string& log_path) { return log_path + ".tail"; }

}  // namespace mlops::process::run_files
