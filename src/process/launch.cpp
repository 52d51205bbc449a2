#include "process/launch.hpp"

#include "process/spawn.hpp"
#include "process/trace_filter.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <unordered_set>

extern char** environ;

namespace mlops::process {

namespace {

std::vector<const char*> environment(const StartRequest& request) {
  std::unordered_set<std::string_view> replaced(request.unset_env.begin(), request.unset_env.end());
  for (const std::string& entry : request.env)
    replaced.insert(std::string_view(entry).substr(0, entry.find('=')));
  std::vector<const char*> env;
  for (char** entry = environ; request.inherit_env && *entry; ++entry) {
    const std::string_view text = *entry;
    if (!replaced.contains(text.substr(0, text.find('=')))) env.push_back(*entry);
  }
  for (const std::string& entry : request.env) env.push_back(entry.c_str());
  env.push_back(nullptr);
  return env;
}

std::string value_of(const std::vector<const char*>& env, std::string_view name, const char* otherwise) {
  for (const char* entry : env) {
    if (!entry) break;
    const std::string_view text = entry;
    if (text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=') {
      return std::string(text.substr(name.size() + 1));
    }
  }
  return otherwise;
}

}  // namespace

int make_pipes(OutputPipes& pipes) {
  for (int i = 0; i < 2; ++i) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno;
    pipes.ours[i].reset(ends[0]);
    pipes.theirs[i].reset(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  return 0;
}

pid_t launch(const StartRequest& request, const OutputPipes& pipes, int null_fd, const rlimit& open_files,
             const ControlGroup& group, FileTrace* trace) {
  const std::vector<const char*> env = environment(request);
  std::string program = request.argv.empty() ? "" : request.argv[0];
  if (program.find('/') == program.npos) {
    program = find_program(program, value_of(env, "PATH", "/usr/local/bin:/usr/bin:/bin"), request.directory);
    if (program.empty()) return -ENOENT;
  }
  const auto start = [&](const std::string& what, const std::vector<std::string>& argv, int as_fd_3) {
    if (const util::Fd place = group.open())
      return spawn_in_group(place.get(), what, argv, env, request.directory, pipes.theirs[0].get(),
                            pipes.theirs[1].get(), null_fd, &open_files, as_fd_3);
    return spawn(what, argv, env, request.directory, pipes.theirs[0].get(), pipes.theirs[1].get(), null_fd,
                 &open_files, as_fd_3);
  };
  if (!trace) return start(program, request.argv, -1);
  // This program, as the step's process, sets the tracing up and then becomes the command.
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
  const util::Fd ours(ends[0]);
  util::Fd theirs(ends[1]);
  std::vector<std::string> argv = {"mlops", trace_argument, program};
  argv.insert(argv.end(), request.argv.begin(), request.argv.end());
  const pid_t pid = start("/proc/self/exe", argv, theirs.get());
  theirs.reset();
  if (pid < 0) return pid;
  const int error = trace->begin(ours.get(), pid);
  return error == 0 ? pid : -error;
}

}  // namespace mlops::process
