// Starts runs for slots and for requests as there is room, and learns how they ended: what the daemon and
// workers have in common.
#pragma once

#include <mlops/workspace.hpp>

#include "daemon/children.hpp"
#include "db/database.hpp"
#include "schedule/ledger.hpp"
#include "schedule/requests.hpp"
#include "workspace/config.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace mlops::daemon {

/// A line on stdout, with the time: what goes on, and what went wrong.
void say(const std::string& text);
void complain(const std::string& text);
/// How much of it is printed; all, unless this is called.
enum class Talk { nothing, troubles, all };
void set_talk(Talk talk);
/// That the program stops, and what becomes of its runs.
void say_stopping(const Children& children);

/// How many runs go on at a time if nobody says otherwise: as many as there are cores, at least 2.
std::size_t usual_runs();

/// Which requests it takes up.
struct Service {
  bool requests = true;
  std::vector<std::string> queues;            ///< empty: all
  std::optional<std::int64_t> backfill = {};  ///< only those of this one
};

class Dispatcher {
 public:
  /// `directory` is for what the runs say; `most` go on at a time. Throws BadFile for a bad configuration.
  Dispatcher(const Workspace& workspace, db::Database& database, const std::string& directory,
             std::size_t most, Service service);

  /// A slot that was claimed; it waits until there is room, and those do not any more that it replaces.
  void add(Job job);
  /// Others have changed what the ledger says: what waits and is not claimed any more does not begin.
  void drop_void();
  /// `tell` hears of each request of a trigger before its run is told of.
  void tell_before(std::function<void(const RequestRecord&)> tell) { tell_ = std::move(tell); }
  /// Starts what may begin, of what was added and of the queue.
  void start();
  /// Takes note of runs that have ended; returns of which pipelines.
  std::set<std::string> end();
  /// Asks the runs that go on to end, and starts no others of those that were added. SIGTERM: in order;
  /// SIGQUIT: at once.
  void end_all(int signal) { children_.end_all(signal); }
  /// Of all that was added and has not ended.
  schedule::Fences fences() const;
  /// The configuration has changed. One that cannot be read changes nothing.
  void read_limits();

  /// When start() may have more to do, and whose end may give it that.
  std::optional<Instant> next() const { return next_; }
  const std::vector<process::Identity>& holders() const { return holders_; }
  const Children& children() const { return children_; }

 private:
  void take_requests(std::optional<int> above);
  std::string hold(const Job& job);
  bool is_void(const Job& job);
  void give_up(const NotStarted& failed);
  void miss_late();
  void try_again(Job job, const std::string& why);
  void reject(const Job& job, const std::string& why);
  void close_claim(const Ended& ended, const std::string& why, bool may_work_later);
  bool tell_of_slot(const Job& job, const std::string& words);
  void record(const Ended& ended);
  void look_again(std::optional<Instant> at, const std::vector<process::Identity>& holders);

  const Workspace& workspace_;
  db::Database& database_;
  schedule::Ledger ledger_;
  schedule::Requests requests_;
  Children children_;
  Service service_;
  std::function<void(const RequestRecord&)> tell_;
  workspace::Config limits_;
  std::vector<NotStarted> failed_;            // each stays until it is on record
  std::vector<Job> late_;                     // likewise: they had to wait for too long
  std::vector<Ended> ended_;                  // likewise
  std::set<std::string> over_;                // their pipelines, until end() returns
  std::optional<Instant> next_, not_before_;  // the latter: nothing can be started until then
  std::vector<process::Identity> holders_;
  std::string full_;       // what all wait for, as one of them has found in this start()
  bool in_doubt_ = false;  // whether all that was claimed is known here
};

/// Process 1, as in a container, takes all others with it: so its runs are ended in order first, and those
/// that take longer than `within` are killed, so that their end is on record before whoever stops the
/// container loses patience. `wait` returns at that time, or when something has happened.
void end_as_process_1(Dispatcher& dispatcher, std::chrono::milliseconds within,
                      const std::function<void(Instant)>& wait);

/// How long that may take, if nobody says otherwise: `docker stop` waits for ten seconds.
constexpr std::chrono::milliseconds usual_stop_within{8'000};

}  // namespace mlops::daemon
