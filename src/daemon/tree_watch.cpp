#include "daemon/tree_watch.hpp"

#include <mlops/error.hpp>

#include "util/file_system.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace mlops::daemon {

namespace {

constexpr std::uint32_t watched_events = IN_MODIFY | IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO |
                                         IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
                                         IN_ONLYDIR;

}  // namespace

TreeWatch::TreeWatch() : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!fd_) throw_errno("cannot watch files", errno);
}

std::string TreeWatch::add(std::int64_t owner, pipeline::FilePatterns patterns, bool only_writes) {
  if (owners_.contains(owner)) remove(owner);
  owners_.insert_or_assign(owner, Owner{std::move(patterns), only_writes});
  return watch(owner);
}

std::string TreeWatch::watch(std::int64_t owner) {
  std::string problem;
  try {
    owners_.at(owner).patterns.find([&](const std::string& folder) { watch_folder(owner, folder, problem); });
  } catch (const std::exception& error) {
    problem = error.what();
  }
  return problem;
}

void TreeWatch::watch_folder(std::int64_t owner, const std::string& path, std::string& problem) {
  if (const std::string kind = util::network_file_system(path); !kind.empty())
    problem = "'" + path + "' lies on " + kind + ", where other machines' changes are not told";
  const int watch = ::inotify_add_watch(fd_.get(), path.c_str(), watched_events);
  if (watch < 0) {
    problem =
        "'" + path + "' cannot be watched: " +
        (errno == ENOSPC ? "all watches of fs.inotify.max_user_watches are in use" : std::strerror(errno));
    return;
  }
  Folder& folder = folders_[watch];
  folder.path = path;
  folder.owners.insert(owner);
}

void TreeWatch::remove(std::int64_t owner) {
  owners_.erase(owner);
  for (auto it = folders_.begin(); it != folders_.end();) {
    it->second.owners.erase(owner);
    if (it->second.owners.empty()) {
      ::inotify_rm_watch(fd_.get(), it->first);
      it = folders_.erase(it);
    } else {
      ++it;
    }
  }
}

// What was moved away is not where it was: what it is called now is nobody's business.
void TreeWatch::forget_below(const std::string& path) {
  std::erase_if(folders_, [&](const auto& entry) {
    const std::string& other = entry.second.path;
    const bool gone = other == path || other.starts_with(path + "/");
    if (gone) ::inotify_rm_watch(fd_.get(), entry.first);
    return gone;
  });
}

std::set<std::int64_t> TreeWatch::changed() {
  std::set<std::int64_t> result, anew;
  std::vector<std::pair<std::int64_t, std::string>> grown;
  alignas(inotify_event) char buffer[16384];
  while (true) {
    const ssize_t n = ::read(fd_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    for (const char* at = buffer; at < buffer + n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        for (const auto& entry : owners_) anew.insert(entry.first);  // nobody knows whose
        continue;
      }
      const auto found = folders_.find(event->wd);
      if (found == folders_.end()) continue;
      if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) != 0) {
        anew.insert(found->second.owners.begin(), found->second.owners.end());
        const std::string path = found->second.path;
        folders_.erase(found);
        if ((event->mask & IN_MOVE_SELF) != 0) ::inotify_rm_watch(fd_.get(), event->wd), forget_below(path);
        continue;
      }
      if (event->len == 0) continue;
      const std::string path = (found->second.path == "/" ? "" : found->second.path) + "/" + event->name;
      for (const std::int64_t owner : found->second.owners) {
        const pipeline::FilePatterns& patterns = owners_.at(owner).patterns;
        const bool folder = (event->mask & IN_ISDIR) != 0;
        if (folder ? !patterns.lead_into(path) : !patterns.mean(path)) continue;
        const bool written = folder || (event->mask & (IN_MODIFY | IN_MOVED_TO)) != 0;
        if (written || !owners_.at(owner).only_writes) result.insert(owner);
        if (folder && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0) grown.emplace_back(owner, path);
      }
    }
  }
  for (const auto& [owner, path] : grown) {
    std::string ignored;
    std::vector<std::string> files;
    const std::int64_t whose = owner;
    owners_.at(owner).patterns.find_below(
        path, files, [&](const std::string& folder) { watch_folder(whose, folder, ignored); });
  }
  for (const std::int64_t owner : anew) watch(owner);
  result.insert(anew.begin(), anew.end());
  return result;
}

}  // namespace mlops::daemon
