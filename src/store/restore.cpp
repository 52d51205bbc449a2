#include "store/restore.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "store/read_range.hpp"
#include "store/tree.hpp"
#include "util/failpoint.hpp"
#include "util/files.hpp"
#include "util/log.hpp"
#include "util/strings.hpp"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <utility>

namespace mlops::store {

namespace {

constexpr std::size_t copy_size = 1 << 18;
constexpr const char* hardlinks_marker = "hardlinks";

// Of this machine: another one that shares the directory may have a process of the same number.
std::string prefix_of_names() {
  utsname machine{};
  ::uname(&machine);
  return ".mlops-" + util::sha256(machine.nodename).substr(0, 8) + "-";
}

/// A name beside the target, removed again unless it was moved into place.
class Beside {
 public:
  /// `below`: the length of the longest path that is to lie below it.
  explicit Beside(const std::string& target, std::size_t below = 0) {
    static std::atomic<unsigned> counter = 0;
    // Short, as the name of the target may be as long as a name can be.
    const std::string name = prefix_of_names() + std::to_string(::getpid()) + "." + std::to_string(counter++);
    const std::filesystem::path parent = std::filesystem::path(target).parent_path();
    name_ = (parent / name).string();
    if (name_.size() + 1 + below < PATH_MAX) return;
    // It is longer than the target's, and what fits there need not fit here: by way of a descriptor it does.
    parent_.reset(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (parent_) name_ = "/proc/self/fd/" + std::to_string(parent_.get()) + "/" + name;
  }
  ~Beside() {
    std::error_code ignored;
    std::filesystem::remove_all(name_, ignored);
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  const std::string& name() const { return name_; }

  void place(const std::string& target) {
    if (::rename(name_.c_str(), target.c_str()) == 0) return;
    // A directory that is not empty, or of the other kind, changes places, so that there is always one of
    // both.
    if (::renameat2(AT_FDCWD, name_.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
    if (errno != EINVAL && errno != ENOSYS) throw_errno("cannot put '" + target + "' in place", errno);
    // A file system that cannot do that.
    const Beside old(target);
    if (::rename(target.c_str(), old.name().c_str()) != 0 || ::rename(name_.c_str(), target.c_str()) != 0) {
      const int error = errno;
      ::rename(old.name().c_str(), target.c_str());
      throw_errno("cannot put '" + target + "' in place", error);
    }
  }

 private:
  util::Fd parent_;
  std::string name_;
};

// Brings objects into the work tree. What a file system cannot do is tried once.
class FileMaker {
 public:
  explicit FileMaker(Objects& objects) : objects_(objects), modes_(link_modes()) {}

  // Makes the new file `path`; false if the object is absent or damaged.
  bool make(const util::Digest& digest, bool executable, const std::string& path) {
    const auto source = objects_.open(digest);
    if (!source) return false;
    for (const LinkMode mode : modes_) {
      // What shares a pack has no inode, and one inode cannot be executable and not.
      const bool possible = !source->packed && !failed_[static_cast<std::size_t>(mode)];
      if (mode == LinkMode::hardlink && possible && !executable) {
        if (link(digest, path)) {
          if (check(*source, digest, -1, path)) return true;
          ::unlink(path.c_str());
          return false;
        }
        if (errno == EEXIST || errno == ENOSPC || errno == EDQUOT)
          throw_errno("cannot write '" + path + "'", errno);
        if (errno != EMLINK) failed_[static_cast<std::size_t>(mode)] = true;
      } else if (mode != LinkMode::hardlink) {
        return write(*source, digest, executable, path, mode == LinkMode::reflink && possible);
      }
    }
    return write(*source, digest, executable, path, false);
  }

 private:
  bool write(const ObjectSource& source, const util::Digest& digest, bool executable, const std::string& path,
             bool clone) {
    const util::Fd to =
        util::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, executable ? 0777 : 0666);
    const bool cloned = clone && ::ioctl(to.get(), FICLONE, source.fd.get()) == 0;
    if (clone && !cloned) failed_[static_cast<std::size_t>(LinkMode::reflink)] = true;
    return check(source, digest, cloned ? -1 : to.get(), path);
  }

  bool link(const util::Digest& digest, const std::string& path) {
    // From now on a file in the work tree may be an object.
    if (!linked_.exchange(true)) util::write_file(objects_.directory() + "/" + hardlinks_marker, "");
    return ::link(objects_.object_path(digest).c_str(), path.c_str()) == 0;
  }

  // Compares the bytes with their name, and writes them to `to` if that is a descriptor.
  bool check(const ObjectSource& source, const util::Digest& digest, int to, const std::string& path) {
    util::Sha256 hash;
    read_range(source.fd.get(), source.offset, source.size, [&](std::string_view part) {
      if (objects_.stopped()) throw Error(ExitCode::interrupted, "stopped while writing '" + path + "'");
      hash.update(part);
      const int error = to < 0 ? 0 : util::write_all(to, part);
      if (error != 0) throw_errno("cannot write '" + path + "'", error);
    });
    if (hash.digest() == digest) return true;
    objects_.quarantine(digest);
    return false;
  }

  Objects& objects_;
  std::vector<LinkMode> modes_;
  std::atomic<bool> failed_[3] = {false, false, false};
  std::atomic<bool> linked_ = false;
};

// A tree may come from elsewhere: its paths must stay inside, and nothing may lie below a link.
void check_path(const TreeEntry& entry, const std::unordered_set<std::string>& links) {
  std::string_view rest = entry.path;
  if (entry.mode == FileMode::directory && rest.ends_with('/')) rest.remove_suffix(1);
  bool good = !rest.empty() && rest.size() <= 4096 && rest[0] != '/';
  for (std::size_t at = 0; good && at <= rest.size();) {
    const std::size_t end = std::min(rest.find('/', at), rest.size());
    const std::string_view part = rest.substr(at, end - at);
    good = !part.empty() && part != "." && part != "..";
    if (end < rest.size() && links.contains(std::string(rest.substr(0, end)))) good = false;
    at = end + 1;
  }
  if (!good)
    throw NotWhole(ExitCode::io,
                   "will not restore the path '" + entry.path + "': it leads out of its directory");
}

/// What is to be made in a directory.
struct Listing {
  std::vector<std::string> directories;  // outer ones may be left out
  std::vector<TreeEntry> files;          // and links
  std::size_t longest = 0;               // path
};

// Nothing if the tree is not whole.
std::optional<Listing> list_tree(Objects& objects, const util::Digest& tree) {
  Listing listing;
  std::unordered_set<std::string> links;
  try {
    walk_tree(objects, tree, [&](TreeEntry&& entry) {
      check_path(entry, links);
      const std::size_t slash = entry.path.rfind('/');
      if (slash != entry.path.npos &&
          (listing.directories.empty() || entry.path.compare(0, slash, listing.directories.back()) != 0))
        listing.directories.push_back(entry.path.substr(0, slash));
      if (entry.mode == FileMode::link) links.insert(entry.path);
      listing.longest = std::max(listing.longest, entry.path.size());
      if (entry.mode != FileMode::directory) listing.files.push_back(std::move(entry));
      return true;
    });
  } catch (const NotWhole& problem) {
    util::log_debug(problem.what());
    return std::nullopt;
  }
  return listing;
}

bool restore_directory(Objects& objects, FileMaker& maker, const Listing& listing, const std::string& root,
                       int threads) {
  util::make_directories(root, 0777);
  for (const std::string& directory : listing.directories)
    util::make_directories(root + "/" + directory, 0777);
  std::atomic<bool> whole = true;
  parallel_for(listing.files.size(), threads, [&](std::size_t i) {
    if (!whole) return;
    const TreeEntry& entry = listing.files[i];
    const std::string path = root + "/" + entry.path;
    if (entry.mode != FileMode::link) {
      if (!maker.make(entry.digest, entry.mode == FileMode::executable, path)) whole = false;
      util::failpoint("restore_file_made");
      return;
    }
    const auto target = objects.read(entry.digest);
    if (!target) {
      whole = false;
    } else if (::symlink(target->c_str(), path.c_str()) != 0) {
      throw_errno("cannot make the link '" + path + "'", errno);
    }
  });
  return whole;
}

}  // namespace

void remove_leftovers_beside(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const std::string directory = parent.empty() ? "." : parent;
  // Once in each: it may be large.
  static std::mutex mutex;
  static std::unordered_set<std::string> seen;
  {
    const std::lock_guard lock(mutex);
    if (!seen.insert(directory).second) return;
  }
  const std::string prefix = prefix_of_names();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    const pid_t pid = std::atoi(name.c_str() + prefix.size());
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) std::filesystem::remove_all(entry.path(), error);
  }
}

namespace {

bool make_beside(Objects& objects, const Content& content, const std::string& path, int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty()) util::make_directories(parent, 0777);
  remove_leftovers_beside(path);
  const auto listing = content.directory ? list_tree(objects, content.digest) : Listing();
  if (!listing) return false;
  Beside beside(path, listing->longest + 1);
  FileMaker maker(objects);
  const bool whole = content.directory ? restore_directory(objects, maker, *listing, beside.name(), threads)
                                       : maker.make(content.digest, content.executable, beside.name());
  util::failpoint("restore_made");
  if (whole) beside.place(path);
  util::failpoint("restore_placed");
  return whole;
}

}  // namespace

bool restore(Objects& objects, const Content& content, const std::string& path, int threads) {
  if (make_beside(objects, content, path, threads)) return true;
  // A node is here without all below it: whoever makes the content again is to look at each object.
  if (content.directory && objects.has(content.digest)) objects.mark_incomplete();
  return false;
}

std::vector<LinkMode> link_modes() {
  constexpr std::pair<std::string_view, LinkMode> names[] = {
      {"reflink", LinkMode::reflink}, {"hardlink", LinkMode::hardlink}, {"copy", LinkMode::copy}};
  const char* setting = std::getenv("MLOPS_LINK");
  if (!setting || !*setting) return {LinkMode::reflink, LinkMode::copy};
  std::vector<LinkMode> modes;
  for (const std::string& word : util::split(setting, ',')) {
    const auto* const name = std::ranges::find(names, word, [](const auto& pair) { return pair.first; });
    if (name == std::end(names)) {
      throw Error(ExitCode::usage, "cannot use MLOPS_LINK='" + std::string(setting) + "'",
                  "name ways to try, in order: reflink, hardlink, copy; such as MLOPS_LINK=hardlink,copy");
    }
    modes.push_back(name->second);
  }
  return modes;
}

namespace {

void give_own_inode(const std::string& path) {
  const util::Fd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat st {};
  // An object has more than one name and may be written to by none.
  if (!from || ::fstat(from.get(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink < 2 ||
      (st.st_mode & 0222) != 0)
    return;
  Beside beside(path);
  {
    const util::Fd to = util::open_file(beside.name(), O_WRONLY | O_CREAT | O_EXCL, 0666);
    std::vector<char> buffer(copy_size);
    while (const ssize_t n = ::read(from.get(), buffer.data(), buffer.size())) {
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_errno("cannot read '" + path + "'", errno);
      if (const int error = util::write_all(to.get(), {buffer.data(), static_cast<std::size_t>(n)}))
        throw_errno("cannot write '" + beside.name() + "'", error);
    }
  }
  beside.place(path);
}

}  // namespace

void make_writable(const std::string& store_directory, const std::string& path) {
  namespace fs = std::filesystem;
  if (!util::exists(store_directory + "/" + hardlinks_marker)) return;
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(path, error))) return give_own_inode(path);
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error) && !it->is_symlink(error)) give_own_inode(it->path().string());
  }
  if (error) throw Error(ExitCode::io, "cannot list '" + path + "': " + error.message());
}

}  // namespace mlops::store
