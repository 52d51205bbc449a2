#include "process/keeper.hpp"

#include <mlops/error.hpp>

#include "process/keeper_loop.hpp"
#include "process/lock_file.hpp"
#include "process/run_files.hpp"
#include "process/wire.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace mlops::process {

namespace {

void detach_from_runner() {
  ::setsid();
  ::prctl(PR_SET_NAME, "mlops-keeper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a limit of file sizes is an error of the write that meets it
  ::signal(SIGCHLD, SIG_DFL);  // where it is ignored, the kernel waits for our children, and ends are lost
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGTERM}) ::sigaddset(&set, signal);
  ::sigprocmask(SIG_SETMASK, &set, nullptr);
  // Steps dump no cores: they hold secrets and fill disks. One that wants to may raise its limit.
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  core.rlim_cur = 0;
  ::setrlimit(RLIMIT_CORE, &core);
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(null, fd);
  if (null > 2) ::close(null);
}

void make_socket_pair(util::Fd& ours, util::Fd& theirs) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw_errno("cannot make a socket", errno);
  ours.reset(ends[0]);
  theirs.reset(ends[1]);
}

}  // namespace

int run_keeper(util::Fd socket) {
  detach_from_runner();
  // The first message is the place; a runner that found nothing to run closes the socket instead.
  MessageBuffer inbox;
  std::optional<std::string_view> message;
  while (!(message = inbox.next())) {
    if (inbox.broken()) return 1;
    // One byte at a time keeps what follows in the socket; there are fewer than a hundred.
    char byte;
    const ssize_t n = ::recv(socket.get(), &byte, 1, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    inbox.append({&byte, 1});
  }
  Reader reader(*message);
  reader.get<MessageType>();
  KeeperPlace place;
  place.run_directory = reader.text();
  place.run_id = reader.text();
  if (!reader.ok()) return 1;
  try {
    const LockFile lock = LockFile::lock(run_files::in(place.run_directory, run_files::keeper_lock),
                                         "run " + place.run_id, 10'000);
    serve_run(std::move(socket), place);
    return 0;
  } catch (const std::exception& error) {
    // Nobody watches this process; the reason goes where the run's other records are.
    try {
      util::write_file(run_files::in(place.run_directory, run_files::keeper_error),
                       std::string(error.what()) + "\n");
    } catch (const std::exception&) {}
    return 1;
  }
}

KeeperProcess fork_keeper() {
  util::Fd ours, theirs;
  make_socket_pair(ours, theirs);
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("cannot start the keeper", errno);
  if (pid == 0) {
    ours.reset();
    if (theirs.get() != 3) {
      ::dup3(theirs.get(), 3, O_CLOEXEC);
      theirs.release();
      theirs.reset(3);
    }
    ::syscall(SYS_close_range, 4, ~0U, 0);
    ::_exit(run_keeper(std::move(theirs)));
  }
  return {std::move(ours), pid};
}

KeeperProcess spawn_keeper() {
  util::Fd ours, theirs;
  make_socket_pair(ours, theirs);
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("cannot start the keeper", errno);
  if (pid == 0) {
    ::dup2(theirs.get(), 3);
    if (theirs.get() == 3) ::fcntl(3, F_SETFD, 0);
    // Now, not by the exec, which takes a while: if we are all that is left of the runner, its lock is free.
    ::syscall(SYS_close_range, 4, ~0U, 0);
    ::execl("/proc/self/exe", "mlops", keeper_argument, nullptr);
    ::_exit(127);
  }
  return {std::move(ours), pid};
}

bool send_place(int socket, const KeeperPlace& place) {
  Writer message(MessageType::start);
  message.put(place.run_directory);
  message.put(place.run_id);
  const std::string& bytes = message.finish();
  return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

}  // namespace mlops::process
