#include "daemon/watch.hpp"

#include <mlops/error.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace mlops::daemon {

Watch::Watch() : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!fd_) throw_errno("cannot watch files", errno);
}

bool Watch::add(const std::string& path) {
  bool well = add_one(path, path);
  std::error_code error;
  const std::string target = std::filesystem::canonical(path, error).string();
  if (!error && target != path) well = add_one(target, path) && well;
  return well;
}

bool Watch::add_one(const std::string& path, const std::string& as) {
  const auto [begin, end] = paths_.equal_range(path);
  if (std::none_of(begin, end, [&](const auto& entry) { return entry.second == as; }))
    paths_.emplace(path, as);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  if (watches_.contains(directory)) return true;
  const int watch = ::inotify_add_watch(
      fd_.get(), directory.c_str(),
      IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
  if (watch < 0) return false;
  watches_[directory] = watch;
  directories_[watch] = directory;
  return true;
}

std::set<std::string> Watch::changed() {
  std::set<std::string> result;
  const auto add_all = [&](const std::string& directory) {
    for (const auto& [path, as] : paths_) {
      if (directory.empty() || std::filesystem::path(path).parent_path() == directory) result.insert(as);
    }
  };
  alignas(inotify_event) char buffer[16384];
  while (true) {
    const ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return result;
    for (const char* at = buffer; at < buffer + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        add_all("");  // nobody knows which
        continue;
      }
      const auto directory = directories_.find(event->wd);
      if (directory == directories_.end()) continue;
      if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
        // Another directory may take its place: that is to be watched then.
        add_all(directory->second);
        if ((event->mask & IN_IGNORED) == 0) ::inotify_rm_watch(fd_.get(), event->wd);
        watches_.erase(directory->second);
        directories_.erase(directory);
        continue;
      }
      if (event->len == 0) continue;
      const auto [begin, end] = paths_.equal_range(directory->second + "/" + event->name);
      for (auto path = begin; path != end; ++path) result.insert(path->second);
    }
  }
}

}  // namespace mlops::daemon
