// `mlops schedule install`: what lets the system's own scheduler start mlops.
#pragma once

#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "schedule/timetable.hpp"
#include "schedule/units.hpp"

#include <functional>
#include <string>
#include <vector>

namespace mlops::schedule {

/// This program, in `workspace`, with PATH and these variables as they are here. The name by which PATH finds
/// it is preferred: an update keeps it.
Call call_of_this_program(const Workspace& workspace, const std::vector<std::string>& variables,
                          bool with_path);

/// A pipeline file whose schedule is to be served.
struct Served {
  std::string file;  ///< absolute
  Pipeline pipeline;
  std::vector<Timetable> timetables;
};

/// Throws Error(usage) for one without a schedule.
Served load_served(const std::string& file);

/// Those that the ledger lets the daemon serve.
std::vector<std::string> served_files(const Workspace& workspace, db::Database& database);

/// What a crontab holds: one line that looks each minute what is due in the workspace; a line for each entry;
/// or one that starts the daemon with the machine.
enum class CrontabStyle { once, lines, reboot };

struct CrontabLines {
  std::vector<std::string> lines;
  std::vector<std::string> notes;
  std::vector<const Served*> by_daemon;  ///< what a daemon has to serve for that
};

/// Where a crontab cannot say an entry exactly, a line that looks each minute serves its file. `clock`: that
/// by which cron goes, or null if nobody knows.
CrontabLines crontab_lines(const Call& call, CrontabStyle style, const std::vector<Served>& files,
                           const calendar::TimeZone* clock, sys_seconds now);

/// Lets the ledger know of the files from now on, and the daemon serve those in `by_daemon`.
void take_up(const Workspace& workspace, db::Database& database, const std::vector<Served>& files,
             const std::vector<const Served*>& by_daemon, sys_seconds now);

/// Lines of a block, those that are new to it, and those that are not there any more.
struct BlockChange {
  std::vector<std::string> lines, gone;
};

/// A block with `plan` for `files` in it. Lines for other files stay, and so does one that serves all that
/// the ledger serves, if that is something besides: `serves_others`.
BlockChange with_added(const std::vector<std::string>& block, const CrontabLines& plan,
                       const std::vector<Served>& files, bool serves_others);

/// A block without lines for these files, and without one that serves all, if that is nothing any more.
BlockChange without_files(const std::vector<std::string>& block, const std::vector<std::string>& files,
                          bool serves_others);

/// The files that a block has lines of their own for.
std::vector<std::string> files_of_block(const std::vector<std::string>& block);
/// The one that this line is for; empty if it is for all, or not by mlops.
std::string file_of_line(const std::string& line);
/// Whether one of its lines serves all that the ledger serves.
bool serves_all(const std::vector<std::string>& block);

/// The lines of the workspace's block in a crontab; none if there is no block. Throws Error(busy) for one
/// that somebody has edited, unless `force`.
std::vector<std::string> read_block(const std::string& crontab, const Workspace& workspace, bool force);

/// Puts what `edit` makes of the lines of the block into the user's crontab; takes the block out if that is
/// nothing. Throws as read_block().
BlockChange edit_crontab_block(const Workspace& workspace, bool force,
                               const std::function<BlockChange(const std::vector<std::string>&)>& edit);

/// Whether the crontab sets CRON_TZ above the block: its lines go by another clock.
bool crontab_has_own_zone(const std::string& crontab, const Workspace& workspace);

/// A service of the user's systemd.
struct InstalledUnit {
  std::string path;
  bool started = false;              ///< or stopped: a manager runs, and did it
  std::string why;                   ///< else: what `systemctl` said
  std::vector<std::string> to_type;  ///< and what does it
  std::vector<std::string> gone;  ///< lines of the units that were there before and that are not in this one
  std::vector<std::string> replaced;  ///< paths of other units, which ran a daemon of the workspace, too
  int rival = 0;                      ///< the daemon, of somebody else, that it has to give way to
};
std::string user_unit_path(const std::string& name);
/// Names of those that run the daemon of the workspace.
std::vector<std::string> units_of(const Workspace& workspace);
/// A workspace has one daemon: other units of it are taken away.
InstalledUnit install_unit(const Workspace& workspace, const Unit& unit, bool force);
InstalledUnit remove_unit(const Workspace& workspace, const std::string& name, bool force);

}  // namespace mlops::schedule
