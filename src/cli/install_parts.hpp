// What `mlops schedule install` does alike for a crontab and for systemd.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/cutover.hpp"
#include "schedule/install.hpp"
#include "util/json.hpp"

#include <string>
#include <vector>

namespace mlops::cli {

struct InstallOptions {
  std::vector<std::string> files;
  bool crontab = false, systemd = false;
  bool lines = false, reboot = false;
  bool print = false, remove = false, force = false, json = false;
  bool no_path = false;
  std::vector<std::string> variables;
  std::string name;
};

/// Opens the database if there is one, else one in memory.
db::Database open_to_look(const Workspace& workspace);

/// Those that are named, else all that are served already: by the ledger, or by a line of their own in
/// `block`.
std::vector<schedule::Served> load_files(const InstallOptions& options, const Workspace& workspace,
                                         db::Database& database, const std::vector<std::string>& block);

/// The same file means another time where TZ is not what it is here.
void add_zone_note(const std::vector<schedule::Served>& files, std::vector<std::string>& notes);

/// Lines that cron goes on with beside these files.
std::vector<schedule::ActiveLine> active_lines(const std::vector<schedule::Served>& files);
nlohmann::json twice_json(const std::vector<schedule::ActiveLine>& lines);

/// What becomes of schedules of which the system's cron or systemd was told no more.
struct Remaining {
  std::vector<std::string> on;       ///< what the ledger lets a daemon serve
  std::vector<std::string> by_hand;  ///< what had a line of its own, and nothing else
  std::vector<std::string> starters;
};
/// `block` are the lines that go; what else starts a daemon is for the caller to add.
Remaining remaining(const Workspace& workspace, const std::vector<std::string>& block);
nlohmann::json to_json(const Remaining& remaining);

void print_lines(const std::vector<std::string>& lines);
void print_notes(const std::vector<std::string>& notes);
void print_served(const std::vector<std::string>& files);
/// `would_be`: nothing has been taken away yet.
void print_remaining(const Remaining& remaining, bool would_be);

}  // namespace mlops::cli
