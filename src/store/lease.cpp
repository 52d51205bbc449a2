#include "store/lease.hpp"

#include "store/file_reader.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

namespace mlops::store {

namespace {

constexpr std::string_view head = "mlops lease 1 ";

bool is_locked(const std::string& path) {
  const util::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct flock lock = util::whole_file_lock(F_WRLCK);
  return fd && ::fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace

std::string gc_lock_path(const std::string& directory) { return directory + "/gc.lock"; }

Lease::Lease(Objects& objects) : objects_(objects) {
  static std::atomic<unsigned> counter = 0;
  path_ = objects.directory() + "/leases/" + std::to_string(::getpid()) + "." + std::to_string(counter++);
  // Within a moment: gc takes a lease that is not locked for one of the dead.
  const Objects::Moment moment(objects);
  ::unlink(path_.c_str());  // of a process of before that had this number
  file_.reset(::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  struct flock lock = util::whole_file_lock(F_WRLCK);
  const std::string text = std::string(head) + std::to_string(coarse_clock_ns()) + "\n";
  if (file_ && ::fcntl(file_.get(), F_OFD_SETLK, &lock) == 0 && util::write_all(file_.get(), text) == 0) {
    objects.lease_ = this;
  } else {
    util::log_debug("no lease on the store: cannot write '" + path_ + "': " + std::strerror(errno));
  }
}

Lease::~Lease() {
  const Objects::Moment moment(objects_);
  objects_.lease_ = nullptr;
  // A gc that is at work may have asked the database before what was held here was recorded.
  if (!is_locked(gc_lock_path(objects_.directory()))) ::unlink(path_.c_str());
}

void Lease::write(const util::Digest& digest, bool directory) {
  const std::string line = (directory ? "d " : "f ") + digest.hex() + "\n";
  if (const int error = util::write_all(file_.get(), line))
    util::log_debug("cannot write '" + path_ + "': " + std::strerror(error));
}

Leases::Leases(Objects& objects) : directory_(objects.directory() + "/leases") {
  const Objects::Moment moment(objects);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    if (!is_locked(entry.path().string())) ::unlink(entry.path().c_str());
  }
}

std::vector<Root> Leases::news() {
  std::vector<Root> roots;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    const std::string path = entry.path().string();
    const std::string text = util::read_file(path);
    std::int64_t began = 0;  // one that cannot be read counts as very old
    if (text.starts_with(head)) std::from_chars(text.data() + head.size(), text.data() + text.size(), began);
    oldest_ = std::min(oldest_, began);
    if (text.empty()) continue;
    std::size_t& at = read_[path];
    if (at == 0) at = std::min(text.find('\n'), text.size() - 1) + 1;
    for (std::size_t end; (end = text.find('\n', at)) != text.npos; at = end + 1) {
      const std::string_view line = std::string_view(text).substr(at, end - at);
      const auto digest = line.size() > 2 ? util::Digest::from_hex(line.substr(2)) : std::nullopt;
      if (digest) roots.push_back({*digest, line[0] == 'd', Keeper::in_use, true});
    }
  }
  return roots;
}

}  // namespace mlops::store
