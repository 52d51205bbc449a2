// Back to cron or systemd: what runs pipelines without ledger and daemon.
#pragma once

#include "schedule/install.hpp"
#include "schedule/units.hpp"

#include <string>
#include <vector>

namespace mlops::schedule {

/// Something that the other one has no words for.
struct Loss {
  std::string pipeline, entry;
  std::string text;
  bool whole = false;  ///< the entry is not there at all
};

struct ExportedCrontab {
  std::vector<std::string> lines;
  std::vector<Loss> losses;
};

ExportedCrontab export_crontab(const Call& call, const std::vector<Served>& files,
                               const calendar::TimeZone& clock, sys_seconds now);

struct ExportedUnits {
  std::vector<Unit> units;
  std::vector<Loss> losses;
};

ExportedUnits export_units(const Call& call, const std::vector<Served>& files, sys_seconds now);

}  // namespace mlops::schedule
