#include "process/identity.hpp"

#include "util/files.hpp"
#include "util/strings.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

namespace mlops::process {

const std::string& boot_id() {
  static const std::string id = std::string(
      util::trim(util::read_file_if_exists("/proc/sys/kernel/random/boot_id").value_or("unknown")));
  return id;
}

std::uint64_t start_ticks(pid_t pid) {
  std::string stat;
  try {
    stat = util::read_file_if_exists("/proc/" + std::to_string(pid) + "/stat").value_or("");
  } catch (const std::exception&) {
    return 0;  // ESRCH while reading: it has just ended
  }
  // The command name is in parentheses and may hold anything; fields count from after the last one.
  const std::size_t close = stat.rfind(')');
  if (close == stat.npos) return 0;
  const auto fields = util::split(std::string_view(stat).substr(close + 1), ' ');
  return fields.size() > 20 ? std::strtoull(fields[20].c_str(), nullptr, 10) : 0;
}

Identity self() { return {::getpid(), start_ticks(::getpid()), boot_id()}; }

std::string to_string(const Identity& identity) {
  return std::to_string(identity.pid) + " " + std::to_string(identity.start_ticks) + " " + identity.boot_id;
}

std::optional<Identity> parse_identity(std::string_view text) {
  const auto words = util::split(util::trim(text), ' ');
  if (words.size() != 3) return std::nullopt;
  Identity identity;
  identity.pid = static_cast<pid_t>(std::strtol(words[0].c_str(), nullptr, 10));
  identity.start_ticks = std::strtoull(words[1].c_str(), nullptr, 10);
  identity.boot_id = words[2];
  if (identity.pid <= 0 || identity.start_ticks == 0) return std::nullopt;
  return identity;
}

util::Fd open_process(const Identity& identity) {
  if (identity.pid <= 0 || identity.boot_id != boot_id()) return util::Fd();
  // First the fd, then the comparison: the fd pins the process, so the number cannot pass to another.
  util::Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, identity.pid, 0)));
  if (fd && start_ticks(identity.pid) != identity.start_ticks) fd.reset();
  return fd;
}

namespace {

bool is_over(const util::Fd& process) {
  pollfd ended{process.get(), POLLIN, 0};
  return !process || ::poll(&ended, 1, 0) != 0;
}

}  // namespace

bool is_alive(std::string_view identity) {
  const auto parsed = parse_identity(identity);
  return parsed && !is_over(open_process(*parsed));
}

void await_end_of_one(const std::vector<Identity>& processes, int limit_ms) {
  std::vector<util::Fd> fds;
  std::vector<pollfd> waiting;
  for (const Identity& process : processes) {
    util::Fd fd = open_process(process);
    if (is_over(fd)) continue;
    waiting.push_back({fd.get(), POLLIN, 0});
    fds.push_back(std::move(fd));
  }
  ::poll(waiting.data(), waiting.size(), limit_ms);
}

bool signal_process(const Identity& identity, int signal) {
  const util::Fd fd = open_process(identity);
  return fd && ::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0) == 0;
}

}  // namespace mlops::process
