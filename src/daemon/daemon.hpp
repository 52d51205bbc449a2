// `mlops daemon`: runs what is due. One loop, which sleeps until the next slot, a change of a file or of the
// clock, or the end of a run; all that it knows is in the ledger, so that it may be killed at any time.
#pragma once

#include <mlops/workspace.hpp>

#include "daemon/chronicle.hpp"
#include "daemon/deliveries.hpp"
#include "daemon/dispatcher.hpp"
#include "daemon/pinger.hpp"
#include "daemon/trigger_desk.hpp"
#include "daemon/vigil.hpp"
#include "daemon/wakeup.hpp"
#include "daemon/web_face.hpp"
#include "db/database.hpp"
#include "process/lock_file.hpp"
#include "schedule/cutover.hpp"
#include "schedule/ledger.hpp"

#include <exception>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mlops::daemon {

struct DaemonSettings {
  std::vector<std::string> files;  ///< to be served from now on, besides those that are already
  std::size_t runs = 0;            ///< at a time; 0: as many as there are cores, at least 2
  bool once = false;               ///< run what is due, and end when it has ended
  bool queue = true;               ///< run also what waits in queues
  bool quiet = false;              ///< say only what went wrong
  std::chrono::milliseconds stop_within =
      usual_stop_within;  ///< as process 1: runs that take longer to end are killed
  WebSettings web = {};
};

/// Throws Error(usage) for the first of these pipeline files that cannot be served: one that has an error or
/// nothing to serve, or the name of another, be it one of `names`, which belong to files by their paths.
/// Without a workspace nothing is known of others.
void require_servable(const std::vector<std::string>& files, std::map<std::string, std::string> names,
                      pipeline::Zones& zones, const Workspace* workspace);

class Daemon {
 public:
  /// Throws Error(overlap) when another daemon serves the workspace, naming it.
  Daemon(const Workspace& workspace, DaemonSettings settings);

  /// Until a signal asks it to stop, which leaves runs to themselves. Returns the exit code.
  int run();

 private:
  static constexpr std::chrono::seconds retry_after{2};  // for what did not work

  /// A pipeline file that is served.
  struct File {
    std::string path;  ///< absolute
    std::vector<ScheduleRecord> records;
    std::vector<schedule::Timetable> timetables;            ///< one a record
    std::vector<std::optional<schedule::sys_seconds>> due;  ///< when each is next on the agenda
    std::string problem;
    std::string pipeline;  ///< its name, which is that of no other; empty while there is a problem
    std::string namesake;  ///< the file that has its name
    int priority = 0, concurrency = 0;  ///< of the pipeline
  };
  using Place = std::pair<File*, std::size_t>;  // a file and the number of its entry
  enum class Turn { before, after };            // those that are due now

  /// True: its schedules are not what they were.
  bool load(const std::string& path, bool serve, std::vector<ScheduleRecord> known = {});
  void take_name(File& file, const std::string& name);
  bool refuse(File& file, const std::string& why, std::vector<ScheduleRecord> known);
  void load_changed();
  void load_served();
  void remember(File& file, std::vector<ScheduleRecord> records);
  void drop(const std::string& path);
  void look_at_crontab(const Pipeline& pipeline);
  void unplan(File& file);
  void plan(const Place& place, schedule::sys_seconds floor = {});
  /// Whether slots that become due are looked at here: with --once, as long as no other may.
  bool serves() const { return !settings_.once || lock_.has_value(); }
  void settle(schedule::sys_seconds now);
  void settle(const std::vector<Place>& due, schedule::sys_seconds now);
  void recover(schedule::sys_seconds now, Turn turn);
  void read_zones_again(schedule::sys_seconds now);
  void look_at_all(schedule::sys_seconds now);
  void take(const std::vector<schedule::Claimed>& claims);
  void end_all_runs();
  void look_at_promises(schedule::sys_seconds now);
  void take_changes(const std::set<std::string>& changed);
  std::optional<Instant> next() const;
  bool wait();
  void work();
  void try_again(const std::exception& error, schedule::sys_seconds now);
  std::vector<schedule::Entry> entries_of(const File& file) const;
  std::vector<std::string> paths() const;

  void note_look();

  const Workspace& workspace_;
  DaemonSettings settings_;
  std::optional<schedule::sys_seconds> seen_;  // when a daemon last did its work, this one or one before it
  std::optional<process::LockFile> lock_;
  db::Database database_;
  schedule::Ledger ledger_;
  Chronicle chronicle_;
  pipeline::Zones zones_;
  Wakeup wakeup_;
  Dispatcher dispatcher_;
  TriggerDesk triggers_;
  std::optional<WebFace> web_;
  Deliveries deliveries_;
  Vigil vigil_;
  Pinger pinger_;
  std::map<std::string, File> files_;                         // by path
  std::set<std::pair<schedule::sys_seconds, Place>> agenda_;  // what is due when
  std::unordered_map<std::int64_t, File*> file_of_;           // of the schedules
  std::unordered_map<std::string, File*> named_;              // by the name of the pipeline
  std::map<std::string, std::set<std::string>> owners_;  // of other files: whose schedules depend on them
  std::optional<std::vector<schedule::CronJob>> cron_;   // of the user, while files are loaded
  std::set<std::string> changed_;                        // files that are to be read again
  std::optional<schedule::sys_seconds> again_;           // when to try again what did not work
  std::optional<Instant> kill_at_;                       // runs that are asked to end
  std::optional<schedule::sys_seconds> zones_again_;     // when to read time zones again
  std::size_t zones_watched_ = 0;
  bool runs_ended_ = false;     // of whoever
  bool hooks_changed_ = false;  // perhaps: pipelines have
  bool look_at_all_ = false;    // at the ledger, as the clock was set
  bool look_again_ = false;     // at the ledger: it has news
  bool stopping_ = false;
  bool in_doubt_ = false;  // whether all slots that are claimed are known here
  bool told_ = false;      // that the ledger cannot be written to
};

}  // namespace mlops::daemon
