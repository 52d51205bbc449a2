#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

namespace mlops::process {

/// Finds a program as execvp would, on `path` (colon-separated) and relative to `directory`; "" if there is
/// none that may be executed.
std::string find_program(const std::string& name, const std::string& path, const std::string& directory);

/// Starts `argv` (argv[0] is an absolute or relative path of a program) as leader of its own session, with
/// default signal dispositions, an empty signal mask and `null_fd` as standard input. `open_files`, if given,
/// is its RLIMIT_NOFILE; the process must have no other threads then. `as_fd_3`, if given, is what it finds
/// as descriptor 3. Returns the pid, or a negative errno value.
pid_t spawn(const std::string& program, const std::vector<std::string>& argv,
            const std::vector<const char*>& env, const std::string& directory, int out_fd, int err_fd,
            int null_fd, const rlimit* open_files = nullptr, int as_fd_3 = -1);

/// The same, within the control group whose directory is `group`, if that is still there.
pid_t spawn_in_group(int group, const std::string& program, const std::vector<std::string>& argv,
                     const std::vector<const char*>& env, const std::string& directory, int out_fd,
                     int err_fd, int null_fd, const rlimit* open_files, int as_fd_3);

}  // namespace mlops::process
