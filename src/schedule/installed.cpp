#include "schedule/installed.hpp"

#include <mlops/error.hpp>

#include "schedule/install.hpp"
#include "schedule/translation.hpp"
#include "schedule/user_crontab.hpp"
#include "util/files.hpp"

#include <algorithm>
#include <iterator>

namespace mlops::schedule {

std::vector<std::string> Installed::starters() const {
  std::vector<std::string> words;
  const bool boot =
      std::ranges::any_of(block, [](const std::string& line) { return line.starts_with("@reboot "); });
  if (boot)
    words.emplace_back("a line of the crontab, when the machine starts");
  else if (serves_all(block))
    words.emplace_back("a line of the crontab, each minute");
  for (const std::string& unit : units) {
    const bool enabled = util::exists(user_unit_path("default.target.wants/" + unit));
    words.push_back(unit + " of your systemd" + (enabled ? "" : ", once it is enabled"));
  }
  return words;
}

std::vector<std::string> Installed::files() const { return files_of_block(block); }

OwnLine Installed::line_for(const std::string& file, const Timetable* timetable, sys_seconds now) const {
  std::vector<std::string> own;
  std::ranges::copy_if(block, std::back_inserter(own),
                       [&](const std::string& line) { return file_of_line(line) == file; });
  if (own.empty() || !timetable) return own.empty() ? OwnLine::none : OwnLine::exact;
  const auto clock = calendar::TimeZone::load(calendar::TimeZone::machine_name());
  const std::vector<std::string> times = to_crontab(*timetable, clock, now).times;
  const bool exact = !times.empty() && std::ranges::any_of(own, [&](const std::string& line) {
    return line.starts_with(times[0] + " ");
  });
  return exact ? OwnLine::exact : OwnLine::other_times;
}

Installed installed_for(const Workspace& workspace, int limit_ms) {
  Installed installed;
  try {
    installed.block = read_block(read_user_crontab(limit_ms), workspace, true);
  } catch (const Error&) {  // there is no cron, or nothing of it that could be told
  }
  try {
    installed.units = units_of(workspace);
  } catch (const Error&) {  // no home, no units
  }
  return installed;
}

}  // namespace mlops::schedule
