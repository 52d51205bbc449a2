#include "process/control_group.hpp"

#include "process/process_tree.hpp"
#include "util/fd_lock.hpp"
#include "util/strings.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

namespace mlops::process {

namespace {

constexpr int most_levels = 8;

// The directory of the group of this process; "" if it is not where the file system of groups usually is, or
// not ours to write to.
std::string find_own_group() {
  for (const std::string& line : util::split(read_kernel_file("/proc/self/cgroup"), '\n')) {
    if (!line.starts_with("0::/")) continue;
    const std::string below = line == "0::/" ? "" : line.substr(3);
    for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {  // the second beside version 1
      const std::string path = root + below;
      if (::access((path + "/cgroup.procs").c_str(), W_OK) == 0 &&
          ::access((std::string(root) + "/cgroup.controllers").c_str(), F_OK) == 0)
        return path;
    }
  }
  return {};
}

const std::string& own_group() {
  static const std::string path = find_own_group();
  return path;
}

std::vector<std::string> groups_in(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  return names;
}

void add_processes(const std::string& path, int levels, std::vector<pid_t>& found) {
  for (const std::string& line : util::split(read_kernel_file(path + "/cgroup.procs"), '\n')) {
    if (const int pid = std::atoi(line.c_str()); pid > 0) found.push_back(pid);
  }
  if (levels == 0) return;
  for (const std::string& name : groups_in(path)) add_processes(path + "/" + name, levels - 1, found);
}

bool kill_whole(const std::string& path) {
  const util::Fd file(::open((path + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), "1", 1) == 1;
}

// Only empty ones go.
void remove_with_inner(const std::string& path, int levels) {
  if (levels > 0) {
    for (const std::string& name : groups_in(path)) remove_with_inner(path + "/" + name, levels - 1);
  }
  ::rmdir(path.c_str());
}

}  // namespace

ControlGroup::ControlGroup(const std::string& name) {
  const std::string& parent = own_group();
  if (parent.empty() || ::mkdir((parent + "/" + name).c_str(), 0755) != 0) return;
  path_ = parent + "/" + name;
}

ControlGroup::ControlGroup(ControlGroup&& other) noexcept : path_(std::exchange(other.path_, {})) {}

ControlGroup& ControlGroup::operator=(ControlGroup&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

ControlGroup::~ControlGroup() { remove(); }

void ControlGroup::remove() {
  if (path_.empty()) return;
  if (::rmdir(path_.c_str()) != 0) remove_with_inner(path_, most_levels);
  path_.clear();
}

util::Fd ControlGroup::open() const {
  return util::Fd(*this ? ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
}

std::vector<pid_t> ControlGroup::processes() const {
  std::vector<pid_t> found;
  if (*this) add_processes(path_, most_levels, found);
  return found;
}

void ControlGroup::signal(int signal) const {
  // The descriptor pins the process; the second look makes sure that it is still the one that was seen.
  std::vector<std::pair<pid_t, util::Fd>> pinned;
  for (const pid_t pid : processes())
    pinned.emplace_back(pid, static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  std::vector<pid_t> still = processes();
  std::ranges::sort(still);
  for (const auto& [pid, fd] : pinned) {
    if (fd && std::ranges::binary_search(still, pid))
      ::syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0);
  }
}

void ControlGroup::kill() const {
  if (*this && !kill_whole(path_)) signal(SIGKILL);
}

bool can_make_control_groups() { return !own_group().empty(); }

int kill_control_groups(const std::string& prefix) {
  const std::string& parent = own_group();
  if (parent.empty()) return 0;
  int count = 0;
  for (const std::string& name : groups_in(parent)) {
    if (!name.starts_with(prefix)) continue;
    const std::string path = parent + "/" + name;
    std::vector<pid_t> found;
    add_processes(path, most_levels, found);
    count += static_cast<int>(found.size());
    kill_whole(path);
    // What was killed takes a moment to go.
    for (int looks = 0; looks < 10; ++looks) {
      remove_with_inner(path, most_levels);
      if (::access(path.c_str(), F_OK) != 0) break;
      util::pause_us(5'000);
    }
  }
  return count;
}

}  // namespace mlops::process
