#include "process/spawn.hpp"

#include "util/strings.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
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

  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

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

}  // namespace mlops::process
