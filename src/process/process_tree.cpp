#include "process/process_tree.hpp"

#include "util/fd.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <set>

namespace mlops::process {

std::string read_kernel_file(const std::string& path) {
  try {
    return util::read_file_if_exists(path).value_or("");
  } catch (const std::exception&) {
    return {};
  }
}

namespace {

std::vector<pid_t> numbers_in(const std::string& directory) {
  std::vector<pid_t> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  if (!dir) return numbers;
  while (const dirent* entry = ::readdir(dir.get())) {
    const int number = std::atoi(entry->d_name);
    if (number > 0) numbers.push_back(number);
  }
  return numbers;
}

// STATE, PPID, …; the 18th is the number of threads. Before them is the name, in parentheses, which may hold
// anything.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string stat = read_kernel_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t close = stat.rfind(')');
  if (close == stat.npos || close + 2 >= stat.size()) return {};
  return util::split(std::string_view(stat).substr(close + 2), ' ');
}

}  // namespace

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
  for (const pid_t thread : numbers_in(tasks)) {
    const std::string text = read_kernel_file(tasks + "/" + std::to_string(thread) + "/children");
    for (const std::string& word : util::split(text, ' ')) {
      const int child = std::atoi(word.c_str());
      if (child > 0) children.push_back(child);
    }
  }
  return children;
}

std::vector<Descendant> descendants_of(pid_t pid) {
  std::vector<Descendant> found;
  const auto add_children_of = [&](pid_t parent) {
    for (const pid_t child : children_of(parent)) found.push_back({child, parent});
  };
  add_children_of(pid);
  for (std::size_t i = 0; i < found.size() && found.size() < 100'000; ++i) add_children_of(found[i].pid);
  return found;
}

bool signal_descendant(const Descendant& process, int signal) {
  // First the fd, then the look: the fd pins the process, so its number cannot pass to another.
  const util::Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!fd && errno == ESRCH) return false;
  const auto fields = stat_fields(process.pid);
  if (fields.size() < 2 || std::atoi(fields[1].c_str()) != process.parent) return false;
  if (fd) return ::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0) == 0;
  return ::kill(process.pid, signal) == 0;  // without a descriptor to spare there is a moment without a pin
}

bool is_alive(pid_t pid) {
  const auto fields = stat_fields(pid);
  if (fields.empty()) return false;
  if (fields[0] != "Z" && fields[0] != "X") return true;
  // A first thread that has ended looks like a zombie while the others go on.
  return fields.size() > 17 && std::atoi(fields[17].c_str()) > 1;
}

void signal_tree(pid_t leader, int signal) {
  const std::vector<Descendant> descendants = descendants_of(leader);
  ::kill(-leader, signal);
  for (const Descendant& process : descendants) {
    if (::getpgid(process.pid) != leader) signal_descendant(process, signal);
  }
}

bool has_environment(pid_t pid, const std::vector<std::string>& entries) {
  const std::string environment = '\0' + read_kernel_file("/proc/" + std::to_string(pid) + "/environ");
  if (environment.size() == 1) return false;
  for (const std::string& entry : entries) {
    if (environment.find('\0' + entry + '\0') == environment.npos) return false;
  }
  return true;
}

namespace {

// Adds what it kills to `killed`. False if there was nothing to kill.
bool sweep(const std::vector<std::string>& entries, std::set<pid_t>& killed) {
  bool found = false;
  for (const pid_t pid : numbers_in("/proc")) {
    if (pid == ::getpid() || !has_environment(pid, entries)) continue;
    // The fd pins the process; a second look makes sure that it is still the one that was seen.
    const util::Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process || !has_environment(pid, entries)) continue;
    if (::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0) continue;
    killed.insert(pid);
    found = true;
  }
  return found;
}

}  // namespace

int kill_by_environment(const std::vector<std::string>& entries) {
  std::set<pid_t> killed;
  // Between two looks what was killed gets the time to go; what does not go ends the looking. One that forks
  // while it is looked for, and ends, is seen by the second look or the third.
  int empty = 0;
  for (int sweeps = 0; sweeps < 20 && empty < 3; ++sweeps) {
    if (sweep(entries, killed)) {
      empty = 0;
      util::pause_us(5'000);
    } else {
      ++empty;
    }
  }
  return static_cast<int>(killed.size());
}

}  // namespace mlops::process
