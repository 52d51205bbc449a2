#include "daemon/watch.hpp"

#include <mlops/error.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace mlops::daemon {

Watch::Watch() : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!fd_) throw_errno("cannot watch files", errno);
}

bool Watch::add(const std::string& path) {
  paths_.insert(path);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (watches_.contains(directory)) return true;
  const int watch = ::inotify_add_watch(fd_.get(), directory.c_str(),
                                        IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB);
  if (watch < 0) return false;
  watches_[directory] = watch;
  directories_[watch] = directory;
  return true;
}

std::set<std::string> Watch::changed() {
  std::set<std::string> result;
  alignas(inotify_event) char buffer[16384];
  while (true) {
    const ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return result;
    for (const char* at = buffer; at < buffer + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        result = paths_;  // nobody knows which
        continue;
      }
      const auto directory = directories_.find(event->wd);
      if (directory == directories_.end() || event->len == 0) continue;
      std::string path = directory->second + "/" + event->name;
      if (paths_.contains(path)) result.insert(std::move(path));
    }
  }
}

}  // namespace mlops::daemon
