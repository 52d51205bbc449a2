#include "store/directory_scan.hpp"

#include <mlops/error.hpp>

#include "store/file_index.hpp"
#include "store/file_reader.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace mlops::store {

namespace {

using DirectoryStream = std::unique_ptr<DIR, int (*)(DIR*)>;

// Compares names as parts of paths: '/' follows a directory's name.
bool path_order(std::string_view a, bool a_directory, std::string_view b, bool b_directory) {
  const std::size_t common = std::min(a.size(), b.size());
  if (const int order = a.substr(0, common).compare(b.substr(0, common))) return order < 0;
  const auto at = [&](std::string_view name, bool directory) {
    return name.size() > common ? static_cast<int>(static_cast<unsigned char>(name[common]))
           : directory          ? '/'
                                : -1;
  };
  return at(a, a_directory) < at(b, b_directory);
}

class Scanner {
 public:
  Scanner(DirectoryScan& scan, const std::function<std::string(const std::string&)>& recall)
      : scan_(scan), recall_(recall) {}

  void run(int threads) {
    add_directory("");
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : others) thread.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  // Called with the mutex held, or before there are threads.
  std::int32_t add_directory(std::string path) {
    scan_.directories.push_back(std::make_unique<ScannedDirectory>());
    scan_.directories.back()->path = std::move(path);
    const auto number = static_cast<std::int32_t>(scan_.directories.size() - 1);
    waiting_.push_back(scan_.directories.back().get());
    return number;
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return !waiting_.empty() || active_ == 0 || failure_; });
      if (waiting_.empty() || failure_) break;
      ScannedDirectory* directory = waiting_.back();
      waiting_.pop_back();
      ++active_;
      lock.unlock();
      std::exception_ptr failure;
      try {
        scan(*directory);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure && !failure_) failure_ = failure;
      --active_;
      changed_.notify_all();
    }
    changed_.notify_all();
  }

  void scan(ScannedDirectory& directory) {
    const std::string path = scan_.full_path(directory);
    list(directory, path);
    const std::string row = recall_(path);
    IndexReader index(row);
    for (ScannedItem& item : directory.items) {
      if (item.mode != FileMode::file && item.mode != FileMode::executable) continue;
      const IndexedFile* known = index.find(directory.name(item));  // files are in the order of their names
      if (known && known->stamp == item.stamp) {
        item.digest = known->digest;
        item.known = item.settled = true;
      } else {
        directory.to_remember = true;
      }
    }
    const std::lock_guard lock(mutex_);
    for (ScannedItem& item : directory.items) {
      if (item.mode == FileMode::directory)
        item.child = add_directory(directory.path + std::string(directory.name(item)) + "/");
    }
  }

  void list(ScannedDirectory& directory, const std::string& path) {
    const DirectoryStream stream(::opendir(path.c_str()), ::closedir);
    if (!stream) throw_errno("cannot list '" + path + "'", errno);
    const int fd = ::dirfd(stream.get());
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      ScannedItem item;
      item.name_at = static_cast<std::uint32_t>(directory.names.size());
      item.name_size = static_cast<std::uint32_t>(name.size());
      directory.names += name;
      struct stat st {};
      if (::fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;  // gone since it was listed
        throw_errno("cannot read '" + path + "/" + std::string(name) + "'", errno);
      }
      if (S_ISDIR(st.st_mode)) {
        item.mode = FileMode::directory;
      } else if (S_ISLNK(st.st_mode)) {
        item.mode = FileMode::link;
      } else if (S_ISREG(st.st_mode)) {
        item.mode = (st.st_mode & S_IXUSR) ? FileMode::executable : FileMode::file;
      } else {
        continue;  // sockets, pipes and devices have no content
      }
      item.stamp = stamp_of(st);
      directory.items.push_back(item);
      errno = 0;
    }
    if (errno != 0) throw_errno("cannot list '" + path + "'", errno);
    std::sort(directory.items.begin(), directory.items.end(),
              [&](const ScannedItem& a, const ScannedItem& b) {
                return path_order(directory.name(a), a.mode == FileMode::directory, directory.name(b),
                                  b.mode == FileMode::directory);
              });
  }

  DirectoryScan& scan_;
  const std::function<std::string(const std::string&)>& recall_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ScannedDirectory*> waiting_;
  int active_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

std::string DirectoryScan::full_path(const ScannedDirectory& directory) const {
  if (directory.path.empty()) return root;
  return root + "/" + directory.path.substr(0, directory.path.size() - 1);
}

std::string DirectoryScan::full_path(const ScannedDirectory& directory, const ScannedItem& item) const {
  return root + "/" + directory.path + std::string(directory.name(item));
}

void DirectoryScan::for_each(const std::function<void(ScannedDirectory&, ScannedItem&)>& on_item,
                             const std::function<void(const ScannedDirectory&)>& on_empty) const {
  struct Place {
    ScannedDirectory* directory;
    std::size_t next;
  };
  std::vector<Place> open = {{directories[0].get(), 0}};
  while (!open.empty()) {
    Place& place = open.back();
    if (place.next == place.directory->items.size()) {
      open.pop_back();
      continue;
    }
    ScannedItem& item = place.directory->items[place.next++];
    if (item.mode != FileMode::directory) {
      on_item(*place.directory, item);
      continue;
    }
    ScannedDirectory& child = *directories[static_cast<std::size_t>(item.child)];
    if (child.items.empty()) {
      on_empty(child);
    } else {
      open.push_back({&child, 0});
    }
  }
}

DirectoryScan scan_directory(const std::string& root, int threads,
                             const std::function<std::string(const std::string&)>& recall) {
  DirectoryScan scan;
  scan.root = root == "/" ? "" : root;
  Scanner(scan, recall).run(threads);
  return scan;
}

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto loop = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads && static_cast<std::size_t>(i) < count; ++i) others.emplace_back(loop);
  loop();
  for (std::thread& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace mlops::store
