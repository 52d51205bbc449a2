// The daemon's triggers: when each is due to look. Looks at files, URLs and databases may take long, and are
// made by processes of their own (`mlops trigger look`), which record what they see; ends of runs are looked
// at here. What it knows beyond the database is only when to look next.
#pragma once

#include <mlops/events.hpp>
#include <mlops/requests.hpp>
#include <mlops/workspace.hpp>

#include "daemon/helper.hpp"
#include "daemon/tree_watch.hpp"
#include "db/database.hpp"
#include "triggers/events.hpp"
#include "util/fd.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::daemon {

class TriggerDesk {
 public:
  /// All outlive it. `say` is for what the daemon says.
  TriggerDesk(const Workspace& workspace, db::Database& database,
              std::function<void(const std::string&)> say);

  /// Readable when there is something to do: call wake().
  int fd() const { return poll_.get(); }
  void wake();

  /// What the file at `path` says now.
  void take(const std::string& path, const std::vector<TriggerRecord>& records);
  /// The file cannot be read: none of its triggers looks until it can. Returns whether it is known to have
  /// some.
  bool refuse(const std::string& path, const std::string& why);
  void drop(const std::string& path);
  /// Runs have ended, of whoever.
  void follow_runs();
  /// Says what happened that the request is for, unless that was said.
  void tell_of(const RequestRecord& request);
  /// A line of a process that looks or listens: of an event, "event ID …", what is behind that, once; any
  /// other as it is.
  void pass_on(const std::string& line, const std::string& lead = {});
  /// Starts the looks that are due.
  void work();

  std::size_t size() const { return seats_.size(); }
  bool idle() const {
    return looking_ + asking_ == 0 && (agenda_.empty() || agenda_.begin()->first > now_ms());
  }

 private:
  struct Seat {
    std::string what;  ///< "churn data/*.csv"
    Trigger trigger;
    bool watched = false;  ///< its changes are told: it need not look by itself
    bool again = false;    ///< something happened while it looked
    std::optional<std::int64_t> due;
    std::optional<Helper> look;
    std::string problem, last_line;
  };
  static std::int64_t now_ms();
  void plan(std::int64_t id, std::int64_t due);
  void unplan(std::int64_t id);
  void remove(std::int64_t id);
  std::size_t& places_of(const Seat& seat) {
    return seat.trigger.kind == Trigger::Kind::http ? asking_ : looking_;
  }
  bool has_room(const Seat& seat);
  void start(std::int64_t id, Seat& seat);
  void hear(std::int64_t id);
  void end(std::int64_t id, Seat& seat);
  void follow(std::int64_t id, Seat& seat);
  void tell(Seat& seat, const std::string& problem);
  void say_event(std::int64_t event, const std::string& text);
  void listen(int fd, std::int64_t id);
  void set_timer();

  const Workspace& workspace_;
  db::Database& database_;
  triggers::Events events_;
  std::function<void(const std::string&)> say_;
  TreeWatch watch_;
  util::Fd poll_, timer_;
  std::map<std::int64_t, Seat> seats_;                        // by trigger
  std::map<std::string, std::vector<std::int64_t>> of_file_;  // by path
  std::set<std::pair<std::int64_t, std::int64_t>>
      agenda_;                            // when, which; of one that looks: when it is ended
  std::size_t looking_ = 0, asking_ = 0;  // at this machine; at URLs, which is mostly to wait
  std::set<std::int64_t> said_;  // events of which one of two has come: their own line, and their run
  std::int64_t followed_ = 0;    // the last end of a run that was looked at
};

}  // namespace mlops::daemon
