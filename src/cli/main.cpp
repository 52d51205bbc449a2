#include "cli/context.hpp"
#include "daemon/pinger.hpp"
#include "process/keeper.hpp"
#include "process/trace_filter.hpp"
#include "schedule/shadow.hpp"

#include <fcntl.h>
#include <signal.h>

#include <cerrno>
#include <cstring>

namespace {

// A standard stream that is closed would become the first file that is opened, a database or a lock.
void fill_standard_streams() {
  for (const int fd : {0, 1, 2}) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)!::open("/dev/null", O_RDWR);  // gets that number
  }
}

// Other signals that whoever started us ignores stay ignored, see process/signals.hpp.
void set_signals() {
  ::signal(SIGCHLD, SIG_DFL);  // ignored, exit codes of children would be lost
  ::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is an error of the write that meets it
}

}  // namespace

int main(int argc, char** argv) {
  // It is about to become a step, which is to find everything as it was set up for it.
  if (argc > 3 && std::strcmp(argv[1], mlops::process::trace_argument) == 0)
    return mlops::process::run_traced(argc, argv);
  fill_standard_streams();
  set_signals();
  if (argc == 2 && std::strcmp(argv[1], mlops::process::keeper_argument) == 0) {
    return mlops::process::run_keeper(mlops::util::Fd(3));
  }
  if (argc == 3 && std::strcmp(argv[1], mlops::daemon::ping_argument) == 0)
    return mlops::daemon::run_ping(argv[2]);
  if (argc == 4 && std::strcmp(argv[1], mlops::schedule::shadow_argument) == 0)
    return mlops::schedule::note_start(argv[2], argv[3]);
  return mlops::cli::run_command_line(argc, argv);
}
