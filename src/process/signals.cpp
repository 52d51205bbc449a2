#include "process/signals.hpp"

#include <pthread.h>

namespace mlops::process {

sigset_t heeded(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) {
    struct sigaction now {};
    const bool ignored = ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
    // `mlops cancel` sends these, and shells start background commands with SIGQUIT ignored.
    if (!ignored || signal == SIGTERM || signal == SIGQUIT) ::sigaddset(&set, signal);
  }
  return set;
}

void suspend_self() {
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &stop, nullptr);
  ::pthread_sigmask(SIG_BLOCK, &stop, nullptr);
}

}  // namespace mlops::process
