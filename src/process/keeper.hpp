// The keeper: one small process per run that spawns and reaps the run's steps. It is forked before the
// runner has threads or a database, so that it stays small, and it outlives the runner: when the runner
// dies, the steps go on, their limits are still kept, and their exit records are still written.
#pragma once

#include "util/fd.hpp"

#include <sys/types.h>

#include <string>

namespace mlops::process {

/// What a keeper needs to know of its run before the first step.
struct KeeperPlace {
  std::string run_directory;  ///< what lies in it: run_files.hpp
  std::string run_id;
};

/// The runner's hold on a keeper.
struct KeeperProcess {
  util::Fd socket;
  pid_t pid = 0;
};

/// The keeper's whole life on its end of the socket: waits for a KeeperPlace, then serves until the socket is
/// closed and all steps have ended. Returns the exit code of the process.
int run_keeper(util::Fd socket);

/// Forks a keeper and returns the runner's end of the socket. Must be called before the process has threads
/// or open databases. The keeper idles until send_place().
KeeperProcess fork_keeper();

/// As fork_keeper, at any time: starts this program anew. Slower by a few milliseconds.
KeeperProcess spawn_keeper();

/// False if the keeper has ended.
bool send_place(int socket, const KeeperPlace& place);

/// Argument by which main() knows that the process is to be a keeper on descriptor 3.
inline constexpr const char* keeper_argument = "internal-keeper";

}  // namespace mlops::process
