// Steps as processes of this machine, through the run's keeper.
#pragma once

#include "process/attempt.hpp"
#include "process/keeper.hpp"
#include "process/wire.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mlops::executors {

struct Started {
  process::AttemptKey key;
  pid_t pid = 0;
  std::int64_t started_ms = 0;
};
/// Some attempt's log has grown since the last answer by output_read().
struct OutputGrew {};
struct Ended {
  process::ExitRecord record;
};
/// The keeper is gone: what it ran has no one to speak for it.
struct KeeperDied {};
using LocalEvent = std::variant<Started, OutputGrew, Ended, KeeperDied>;

/// The runner's side of a keeper. Not thread-safe.
class Local {
 public:
  Local(process::KeeperProcess keeper, const process::KeeperPlace& place);
  /// Closes the socket and, unless steps still run, waits for the keeper to end.
  ~Local();
  Local(const Local&) = delete;
  Local& operator=(const Local&) = delete;

  /// Readable when receive() has something.
  int fd() const { return keeper_.socket.get(); }

  void start(const process::StartRequest& request);
  void stop(process::AttemptKey key, bool at_once);
  void pause();
  void resume();
  void output_read();

  /// Lets a keeper go on that somebody has stopped, such as a step: nothing would be seen to any more. True
  /// if it was.
  bool wake_keeper();

  /// All events that have arrived; never blocks.
  std::vector<LocalEvent> receive();

 private:
  void wait_until_ready();
  void send(process::Writer message);
  bool take(std::string_view message, std::vector<LocalEvent>& events);

  process::KeeperProcess keeper_;
  process::MessageBuffer inbox_;
  int running_ = 0;
  bool ready_ = false;
  bool dead_ = false;
};

}  // namespace mlops::executors
