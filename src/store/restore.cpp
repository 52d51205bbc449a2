#include "store/restore.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <unordered_set>

namespace mlops::store {

namespace {

constexpr std::size_t buffer_size = 1 << 18;

/// A name beside the target, removed again unless it was moved into place.
class Beside {
 public:
  explicit Beside(const std::string& target) {
    const std::filesystem::path path(target);
    static std::atomic<unsigned> counter = 0;
    name_ = (path.parent_path() / ("." + path.filename().string() + ".mlops-" + std::to_string(::getpid()) +
                                   "." + std::to_string(counter++)))
                .string();
  }
  ~Beside() {
    std::error_code ignored;
    if (!placed_) std::filesystem::remove_all(name_, ignored);
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  const std::string& name() const { return name_; }

  void place(const std::string& target) {
    if (::rename(name_.c_str(), target.c_str()) != 0) {
      // A directory that is not empty, or of the other kind, has to make room first.
      const Beside old(target);
      if (::rename(target.c_str(), old.name().c_str()) != 0 || ::rename(name_.c_str(), target.c_str()) != 0) {
        const int error = errno;
        ::rename(old.name().c_str(), target.c_str());
        throw_errno("cannot put '" + target + "' in place", error);
      }
    }
    placed_ = true;
  }

 private:
  std::string name_;
  bool placed_ = false;
};

// Writes an object to the new file `path`; false if it is absent or damaged.
bool write_object(Objects& objects, const util::Digest& digest, bool executable, const std::string& path) {
  const auto source = objects.open(digest);
  if (!source) return false;
  const util::Fd to =
      util::open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, executable ? 0777 : 0666);
  const bool cloned = !source->packed && ::ioctl(to.get(), FICLONE, source->fd.get()) == 0;
  thread_local std::vector<char> buffer(buffer_size);
  util::Sha256 hash;
  for (std::uint64_t done = 0; done < source->size;) {
    const std::size_t want = std::min<std::uint64_t>(buffer.size(), source->size - done);
    const ssize_t n =
        ::pread(source->fd.get(), buffer.data(), want, static_cast<off_t>(source->offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
    hash.update(part);
    done += part.size();
    if (cloned) continue;
    if (const int error = util::write_all(to.get(), part)) throw_errno("cannot write '" + path + "'", error);
  }
  if (hash.digest() == digest) return true;
  objects.quarantine(digest);
  return false;
}

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
    throw Error(ExitCode::io,
                "will not restore the path '" + entry.path + "': it leads out of its directory");
}

bool restore_directory(Objects& objects, const util::Digest& tree, const std::string& root, int threads) {
  std::vector<TreeEntry> files;
  std::unordered_set<std::string> links;
  util::make_directories(root, 0777);
  std::string made;  // the directory that was made last
  try {
    walk_tree(objects, tree, [&](TreeEntry&& entry) {
      check_path(entry, links);
      const std::size_t slash = entry.path.rfind('/');
      if (slash != entry.path.npos && entry.path.compare(0, slash, made) != 0) {
        made = entry.path.substr(0, slash);
        util::make_directories(root + "/" + made, 0777);
      }
      if (entry.mode == FileMode::link) links.insert(entry.path);
      if (entry.mode != FileMode::directory) files.push_back(std::move(entry));
      return true;
    });
  } catch (const Error&) {
    return false;  // a node is missing
  }
  std::atomic<bool> whole = true;
  parallel_for(files.size(), threads, [&](std::size_t i) {
    if (!whole) return;
    const TreeEntry& entry = files[i];
    const std::string path = root + "/" + entry.path;
    if (entry.mode != FileMode::link) {
      if (!write_object(objects, entry.digest, entry.mode == FileMode::executable, path)) whole = false;
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

bool restore(Objects& objects, const Content& content, const std::string& path, int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const std::string parent = std::filesystem::path(path).parent_path().string();
  if (!parent.empty()) util::make_directories(parent, 0777);
  Beside beside(path);
  const bool whole = content.directory
                         ? restore_directory(objects, content.digest, beside.name(), threads)
                         : write_object(objects, content.digest, content.executable, beside.name());
  if (whole) beside.place(path);
  return whole;
}

}  // namespace mlops::store
