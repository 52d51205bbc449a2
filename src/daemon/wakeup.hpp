// What the loops of the daemon and of a worker sleep on: a time, signals, files that change, processes that
// end. Nothing wakes them in between.
#pragma once

#include <mlops/records.hpp>

#include "daemon/watch.hpp"
#include "process/identity.hpp"
#include "util/fd.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mlops::daemon {

/// What has happened.
struct News {
  std::set<std::string> changed;  ///< files, as they were added
  bool clock_was_set = false;
  bool reload = false;  ///< SIGHUP
  bool stop = false;    ///< SIGTERM, SIGINT
  bool any = false;     ///< false: what happened is nothing that was asked about
};

class Wakeup {
 public:
  /// Blocks the signals that it hears of; children have to be given the usual ones back.
  Wakeup();

  Watch& files() { return files_; }
  /// From now on also whatever can be read from this descriptor wakes; reading it is the caller's.
  void add(int fd);
  /// From now on also the end of one of these wakes, in place of those of before.
  void watch(const std::vector<process::Identity>& processes);
  /// Until something happens; `until` is a time of the clock.
  News wait(std::optional<Instant> until);

 private:
  bool set_timer(std::optional<Instant> until);
  void read_signals(News& news);

  Watch files_;
  util::Fd signals_, timer_, poll_;
  std::map<std::string, util::Fd> processes_;  // by identity
  bool one_has_ended_ = false;                 // before it could be watched
};

}  // namespace mlops::daemon
