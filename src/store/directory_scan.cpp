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

// A portion may hold a little more: directories are listed whole.
constexpr std::size_t portion = 1 << 16;

}  // namespace

/// The threads of one list_more().
class Lister {
 public:
  explicit Lister(DirectoryWalk& walk) : walk_(walk) {}

  std::vector<ScannedDirectory*> run() {
    std::vector<std::thread> others;
    for (int i = 1; i < walk_.threads_; ++i) others.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : others) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(fresh_);
  }

 private:
  bool done() const { return failure_ || items_ >= portion; }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return !walk_.waiting_.empty() || active_ == 0 || done(); });
      if (walk_.waiting_.empty() || done()) break;
      ScannedDirectory* directory = walk_.waiting_.back();
      walk_.waiting_.pop_back();
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
      directory->listed = true;
      items_ += directory->items.size();
      fresh_.push_back(directory);
      add_children(*directory);
      --active_;
      changed_.notify_all();
    }
    changed_.notify_all();
  }

  // Last things first, as the last one waiting is taken next.
  void add_children(ScannedDirectory& directory) {
    for (auto item = directory.items.rbegin(); item != directory.items.rend(); ++item) {
      if (item->mode != FileMode::directory) continue;
      auto child = std::make_unique<ScannedDirectory>();
      child->path = directory.path + std::string(directory.name(*item)) + "/";
      item->child = static_cast<std::int32_t>(walk_.directories_.size());
      walk_.waiting_.push_back(child.get());
      walk_.directories_.push_back(std::move(child));
    }
  }

  void scan(ScannedDirectory& directory) {
    const std::string path = walk_.full_path(directory);
    list(directory, path);
    const std::string row = walk_.recall_(path);
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
  }

  static void list(ScannedDirectory& directory, const std::string& path) {
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

  DirectoryWalk& walk_;
  std::mutex mutex_;  // of all below, and of what the walk has
  std::condition_variable changed_;
  std::vector<ScannedDirectory*> fresh_;
  std::size_t items_ = 0;
  int active_ = 0;
  std::exception_ptr failure_;
};

DirectoryWalk::DirectoryWalk(const std::string& root, int threads,
                             std::function<std::string(const std::string&)> recall)
    : root_(root == "/" ? "" : root), threads_(threads), recall_(std::move(recall)) {
  directories_.push_back(std::make_unique<ScannedDirectory>());
  waiting_.push_back(directories_[0].get());
  open_.push_back({directories_[0].get(), 0});
}

std::string DirectoryWalk::full_path(const ScannedDirectory& directory) const {
  if (directory.path.empty()) return root_.empty() ? "/" : root_;
  return root_ + "/" + directory.path.substr(0, directory.path.size() - 1);
}

std::string DirectoryWalk::full_path(const ScannedDirectory& directory, const ScannedItem& item) const {
  return root_ + "/" + directory.path + std::string(directory.name(item));
}

std::vector<ScannedDirectory*> DirectoryWalk::list_more() {
  // Where hand_on() came to a halt, something has to be listed first of all.
  if (!open_.empty() && !open_.back().directory->listed) {
    const auto at = std::find(waiting_.rbegin(), waiting_.rend(), open_.back().directory);
    if (at != waiting_.rend()) std::rotate(waiting_.rbegin(), at, at + 1);
  }
  return Lister(*this).run();
}

bool DirectoryWalk::hand_on(const Taker& taker) {
  while (!open_.empty()) {
    const Place place = open_.back();
    if (!place.directory->listed) return false;
    if (place.next == place.directory->items.size()) {
      open_.pop_back();
      if (place.directory->items.empty() && !place.directory->path.empty()) taker.empty(*place.directory);
      taker.passed(*place.directory);
      continue;
    }
    ScannedItem& item = place.directory->items[open_.back().next++];
    if (item.mode == FileMode::directory) {
      open_.push_back({directories_[static_cast<std::size_t>(item.child)].get(), 0});
    } else {
      taker.item(*place.directory, item);
    }
  }
  return true;
}

void DirectoryWalk::release(ScannedDirectory& directory) {
  // Not clear(): it would keep the memory.
  std::vector<ScannedItem>().swap(directory.items);
  std::string().swap(directory.names);
  std::string().swap(directory.path);
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
