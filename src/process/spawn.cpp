#include "process/spawn.hpp"

#include "util/fd.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

namespace mlops::process {

std::string find_program(const std::string& name, const std::string& path, const std::string& directory) {
  const auto runnable = [&](const std::string& candidate) {
    const std::string full = candidate[0] == '/' ? candidate : directory + "/" + candidate;
    struct stat st {};
    return ::stat(full.c_str(), &st) == 0 && S_ISREG(st.st_mode) && ::access(full.c_str(), X_OK) == 0;
  };
  if (name.empty()) return {};
  if (name.find('/') != name.npos) return runnable(name) ? name : std::string();
  for (const std::string& entry : util::split(path, ':')) {
    const std::string candidate = (entry.empty() ? "." : entry) + "/" + name;
    if (runnable(candidate)) return candidate;
  }
  return {};
}

namespace {

std::vector<char*> pointers(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  return arguments;
}

}  // namespace

pid_t spawn(const std::string& program, const std::vector<std::string>& argv,
            const std::vector<const char*>& env, const std::string& directory, int out_fd, int err_fd,
            int null_fd, const rlimit* open_files, int as_fd_3) {
  struct Actions {
    posix_spawn_file_actions_t value;
    Actions() { ::posix_spawn_file_actions_init(&value); }
    ~Actions() { ::posix_spawn_file_actions_destroy(&value); }
  } actions;
  ::posix_spawn_file_actions_addchdir_np(&actions.value, directory.c_str());
  ::posix_spawn_file_actions_adddup2(&actions.value, null_fd, 0);
  ::posix_spawn_file_actions_adddup2(&actions.value, out_fd, 1);
  ::posix_spawn_file_actions_adddup2(&actions.value, err_fd, 2);
  if (as_fd_3 >= 0) ::posix_spawn_file_actions_adddup2(&actions.value, as_fd_3, 3);

  struct Attributes {
    posix_spawnattr_t value;
    Attributes() { ::posix_spawnattr_init(&value); }
    ~Attributes() { ::posix_spawnattr_destroy(&value); }
  } attributes;
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes.value, &none);
  // Ignored signals survive exec, so every disposition is set back.
  ::posix_spawnattr_setsigdefault(&attributes.value, &all);
  ::posix_spawnattr_setflags(&attributes.value,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);

  const std::vector<char*> arguments = pointers(argv);
  // posix_spawn knows no limits, and setting the child's from outside would race with its exec: a limit is
  // inherited, so ours is the child's for that moment. What is open already stays open under a lower one.
  rlimit ours{};
  if (open_files) ::prlimit(0, RLIMIT_NOFILE, open_files, &ours);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program.c_str(), &actions.value, &attributes.value, arguments.data(),
                                  const_cast<char* const*>(env.data()));
  if (open_files) ::setrlimit(RLIMIT_NOFILE, &ours);
  return error == 0 ? pid : -error;
}

// posix_spawn knows no groups, and moving a process into one afterwards takes the kernel milliseconds.
pid_t spawn_in_group(int group, const std::string& program, const std::vector<std::string>& argv,
                     const std::vector<const char*>& env, const std::string& directory, int out_fd,
                     int err_fd, int null_fd, const rlimit* open_files, int as_fd_3) {
  const std::vector<char*> arguments = pointers(argv);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return -errno;
  util::Fd ours(ends[0]), theirs(ends[1]);
  // For the child's errno value, if it does not get to be the program; out of the way of what it gets.
  util::Fd failed(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 10));
  if (!failed) return -errno;
  clone_args how{};
  how.flags = CLONE_INTO_CGROUP;
  how.exit_signal = SIGCHLD;
  how.cgroup = static_cast<__u64>(group);
  const long pid = ::syscall(SYS_clone3, &how, sizeof how);
  if (pid == 0) {
    // A copy of this process, which may only do what a signal handler may.
    ::setsid();
    struct sigaction as_usual {};
    as_usual.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &as_usual, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    bool ready = ::chdir(directory.c_str()) == 0 && ::dup2(null_fd, 0) == 0 && ::dup2(out_fd, 1) == 1 &&
                 ::dup2(err_fd, 2) == 2 && (as_fd_3 < 0 || ::dup2(as_fd_3, 3) == 3);
    if (as_fd_3 == 3) ::fcntl(3, F_SETFD, 0);
    if (open_files) ready = ready && ::setrlimit(RLIMIT_NOFILE, open_files) == 0;
    if (ready) ::execve(program.c_str(), arguments.data(), const_cast<char* const*>(env.data()));
    const int error = errno;
    (void)!::write(failed.get(), &error, sizeof error);
    ::_exit(127);
  }
  if (pid < 0)  // the group was removed, or the kernel knows no such thing
    return spawn(program, argv, env, directory, out_fd, err_fd, null_fd, open_files, as_fd_3);
  theirs.reset();
  failed.reset();
  int error = 0;
  while (::read(ours.get(), &error, sizeof error) < 0 && errno == EINTR) {}
  if (error != 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
  return error == 0 ? static_cast<pid_t>(pid) : -error;
}

}  // namespace mlops::process
