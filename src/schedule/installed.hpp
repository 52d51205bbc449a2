// What is installed that lets the system start mlops in a workspace.
#pragma once

#include <mlops/workspace.hpp>

#include "calendar/time_zone.hpp"
#include "schedule/timetable.hpp"

#include <optional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// Whether the crontab has a line for an entry of a file: one with its times, or only others for the file.
enum class OwnLine { none, exact, other_times };

struct Installed {
  std::vector<std::string> block;  ///< of the workspace in the user's crontab
  std::vector<std::string> units;  ///< names of the services of the user's systemd that run its daemon

  /// Where what the ledger lets the daemon serve is started from, in words: "a line of the crontab, each
  /// minute".
  std::vector<std::string> starters() const;
  /// Absolute paths of the files with lines of their own in the crontab.
  std::vector<std::string> files() const;
  /// `timetable`: null where the times are not known, which any line of the file will do for.
  OwnLine line_for(const std::string& file, const Timetable* timetable, sys_seconds now) const;
};

/// Without the crontab, where that cannot be read within `limit_ms`.
Installed installed_for(const Workspace& workspace, int limit_ms = 5'000);

}  // namespace mlops::schedule
