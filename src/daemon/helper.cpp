#include "daemon/helper.hpp"

#include <mlops/error.hpp>

#include "process/spawn.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

extern char** environ;

namespace mlops::daemon {

namespace {
constexpr std::size_t longest_line = 64 << 10;
}

Helper::Helper(const std::string& root, const std::vector<std::string>& arguments, int as_fd_3) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("cannot make a pipe", errno);
  pipe_.reset(ends[0]);
  const util::Fd out(ends[1]);
  ::fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
  const util::Fd null = util::open_file("/dev/null", O_RDONLY);
  std::vector<std::string> argv = {"mlops", "-w", root};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  std::vector<const char*> env;
  for (char** entry = environ; *entry; ++entry) env.push_back(*entry);
  env.push_back(nullptr);
  const pid_t pid =
      process::spawn("/proc/self/exe", argv, env, root, out.get(), out.get(), null.get(), nullptr, as_fd_3);
  if (pid < 0) throw_errno("cannot start a process of mlops", static_cast<int>(-pid));
  identity_ = {pid, process::start_ticks(pid), process::boot_id()};
}

std::optional<std::vector<std::string>> Helper::lines() {
  bool ended = false;
  char buffer[4096];
  while (true) {
    const ssize_t n = ::read(pipe_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      ended = n == 0 || errno != EAGAIN;
      break;
    }
    rest_.append(buffer, static_cast<std::size_t>(n));
    if (rest_.size() > longest_line) break;
  }
  std::vector<std::string> result = util::split(rest_, '\n');
  rest_ = std::move(result.back());
  result.pop_back();
  if (rest_.size() > longest_line || (ended && !rest_.empty()))
    result.push_back(std::move(rest_)), rest_.clear();
  for (std::string& line : result) line = util::escape_controls(util::to_utf8(line));
  if (ended && result.empty()) return std::nullopt;
  return result;
}

}  // namespace mlops::daemon
