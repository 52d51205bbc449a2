// Pipeline files with an error, of which nothing runs: what they said before is not run in their place.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/timetable.hpp"

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// "its file cannot be read: " with the first line of why.
std::string unreadable(const std::exception& error);
/// Runs, limits and promises go by the name of a pipeline: there is one of each.
std::string same_name(const std::string& name, const std::string& other);

struct BrokenFile {
  std::string file;  ///< relative to the workspace if inside it
  std::string pipeline;
  std::string problem;  ///< the first one
  bool is_there = true;
  std::optional<Instant>
      since;            ///< when the file came to be as it is, or the first slot was rejected for that
  bool served = false;  ///< by the daemon
  bool has_slots = false;
  std::int64_t rejected = 0;  ///< slots, since then
};

/// Of all that have schedules or triggers in the workspace, by name. Where a daemon looks after a file its
/// word counts; the others are read.
std::vector<BrokenFile> broken_files(const Workspace& workspace, db::Connection& connection,
                                     bool daemon_runs);

}  // namespace mlops::schedule
