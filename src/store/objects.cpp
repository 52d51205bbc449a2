#include "store/objects.hpp"

#include <mlops/error.hpp>

#include "store/file_reader.hpp"
#include "store/lease.hpp"
#include "store/pack.hpp"
#include "store/read_range.hpp"
#include "util/failpoint.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"
#include "util/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>

namespace mlops::store {

namespace {

// The last one tells that all are there.
constexpr const char* parts[] = {"objects", "packs", "tmp", "quarantine", "leases"};
// Hands the bytes of a source to `sink`; false if it ends too early.
template <typename Sink>
bool read_source(const ObjectSource& source, const Sink& sink) {
  return read_range(source.fd.get(), source.offset, source.size, sink);
}

}  // namespace

Objects::Objects(std::string directory)
    : directory_(std::move(directory)), index_([this] {
        const bool whole = util::exists(directory_ + "/" + parts[std::size(parts) - 1]);
        for (const char* part : parts) {
          if (!whole) util::make_directories(directory_ + "/" + part);
        }
        if (!whole) {
          util::sync_directory(directory_);
          util::sync_directory(std::filesystem::path(directory_).parent_path().string());
        }
        return directory_ + "/index.db";
      }()) {
  // An index made anew knows again what gc had let go of without rewriting its pack.
  if (index_.replaced() || (index_.packs().empty() && !unknown_packs().empty())) mark_incomplete();
  adopt_packs();
}

Objects::Moment::Moment(Objects& objects) : objects_(objects), lock_(objects.use_mutex_) {
  if (objects_.moments_++ > 0) return;
  if (!objects_.use_lock_) {
    // In a workspace that is only read nothing is removed, either.
    objects_.use_lock_.reset(
        ::open((objects_.directory_ + "/use.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!objects_.use_lock_) return;
  }
  struct flock lock = util::whole_file_lock(F_WRLCK);
  while (::fcntl(objects_.use_lock_.get(), F_OFD_SETLKW, &lock) != 0) {
    if (errno != EINTR) throw_errno("cannot lock the store in '" + objects_.directory_ + "'", errno);
  }
}

Objects::Moment::~Moment() {
  if (--objects_.moments_ == 0 && objects_.use_lock_) util::unlock_fd(objects_.use_lock_.get());
}

std::string Objects::object_path(const Digest& digest) const {
  const std::string hex = digest.hex();
  return directory_ + "/objects/" + hex.substr(0, 2) + "/" + hex.substr(2);
}

std::string Objects::pack_path(const std::string& name) const {
  return directory_ + "/packs/" + name + ".pack";
}

std::string Objects::temporary_path() const {
  static std::atomic<unsigned> counter = 0;
  return directory_ + "/tmp/" + std::to_string(::getpid()) + "." + std::to_string(counter++);
}

// The names of packs whose files the index does not know.
std::vector<std::string> Objects::unknown_packs() {
  const std::lock_guard lock(mutex_);
  const std::vector<std::string> known = index_.packs();
  std::vector<std::string> unknown;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/packs", error)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() == ".pack" && !std::binary_search(known.begin(), known.end(), name))
      unknown.push_back(name);
  }
  return unknown;
}

void Objects::adopt_packs() {
  if (unknown_packs().empty()) return;
  const Moment moment(*this);  // gc may be about to remove the file of a pack that it has just forgotten
  for (const std::string& name : unknown_packs()) {
    const auto objects = read_pack_table(pack_path(name), name);
    if (objects.empty()) {
      util::log_warning("'" + pack_path(name) + "' is no whole pack of objects and is not used");
      continue;
    }
    const std::lock_guard lock(mutex_);
    index_.add_pack(name, objects);
  }
}

bool Objects::has(const Digest& digest) {
  struct stat st {};
  if (::stat(object_path(digest).c_str(), &st) == 0) return true;
  const std::lock_guard lock(mutex_);
  return index_.find(digest).has_value();
}

// False, and forgotten, if its file is gone. With the mutex held, within a Moment.
bool Objects::touch_pack(const std::string& pack) {
  if (refreshed_.contains(pack)) return true;
  if (::utimensat(AT_FDCWD, pack_path(pack).c_str(), nullptr, 0) != 0 && errno != EROFS) {
    if (errno == ENOENT) index_.remove_packs({pack});
    return false;
  }
  refreshed_.insert(pack);
  return true;
}

bool Objects::refresh(const Digest& digest) {
  return make_young(digest) && (!found_damage_ || verify(digest));
}

bool Objects::make_young(const Digest& digest) {
  const Moment moment(*this);
  // On a file system that is read-only nothing can be removed, either.
  if (::utimensat(AT_FDCWD, object_path(digest).c_str(), nullptr, 0) == 0 || errno == EROFS) return true;
  const std::lock_guard lock(mutex_);
  const auto packed = index_.find(digest);
  return packed && touch_pack(packed->pack);
}

std::vector<bool> Objects::refresh_packed(const std::vector<Digest>& digests) {
  std::vector<bool> here(digests.size(), false);
  constexpr std::size_t at_once = 4'096;  // others wait for no more than these
  for (std::size_t begin = 0; begin < digests.size(); begin += at_once) {
    const Moment moment(*this);
    const std::lock_guard lock(mutex_);
    const std::size_t end = std::min(digests.size(), begin + at_once);
    std::vector<std::pair<std::size_t, std::string>> found;
    index_.find_all(std::span(digests).subspan(begin, end - begin),
                    [&](std::size_t i, std::string pack) { found.emplace_back(begin + i, std::move(pack)); });
    for (const auto& [i, pack] : found) here[i] = touch_pack(pack);
  }
  for (std::size_t i = 0; found_damage_ && i < here.size(); ++i) here[i] = here[i] && verify(digests[i]);
  return here;
}

void Objects::hold(const Digest& digest, bool directory) {
  if (!lease_) return;
  const Moment moment(*this);
  if (lease_) lease_->write(digest, directory);
}

bool Objects::vouches_for_all_below(const Digest& node) {
  hold(node, true);
  return has(node) && !incomplete();
}

bool Objects::incomplete() const { return ::access(marker().c_str(), F_OK) == 0; }

std::int64_t Objects::mark_incomplete() {
  const Moment moment(*this);
  const util::Fd fd(::open(marker().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  // By the fine clock: two marks must not be of one time.
  timespec times[2]{};
  ::clock_gettime(CLOCK_REALTIME, &times[0]);
  times[1] = times[0];
  struct stat st {};
  if (fd && ::futimens(fd.get(), times) == 0 && ::fstat(fd.get(), &st) == 0) return stamp_of(st).mtime;
  util::log_warning("cannot make '" + marker() + "': " + std::strerror(errno));
  return 0;
}

void Objects::unmark_incomplete(std::int64_t mark) {
  const Moment moment(*this);
  struct stat st {};
  if (::stat(marker().c_str(), &st) == 0 && stamp_of(st).mtime == mark) ::unlink(marker().c_str());
}

std::vector<Digest> Objects::missing(const std::vector<Digest>& digests) {
  std::vector<Digest> list;
  for (const Digest& digest : digests) {
    if (!has(digest)) list.push_back(digest);
  }
  return list;
}

std::optional<ObjectSource> Objects::open(const Digest& digest) {
  ObjectSource source;
  source.fd.reset(::open(object_path(digest).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (source.fd && ::fstat(source.fd.get(), &st) == 0) {
    source.size = static_cast<std::uint64_t>(st.st_size);
    return source;
  }
  std::optional<db::PackedObject> packed;
  {
    const std::lock_guard lock(mutex_);
    packed = index_.find(digest);
  }
  if (!packed) return std::nullopt;
  source.fd.reset(::open(pack_path(packed->pack).c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.fd) {
    // Whoever repacked it has put its objects elsewhere.
    adopt_packs();
    const std::lock_guard lock(mutex_);
    const auto again = index_.find(digest);
    if (!again || again->pack == packed->pack) return std::nullopt;
    packed = again;
    source.fd.reset(::open(pack_path(packed->pack).c_str(), O_RDONLY | O_CLOEXEC));
    if (!source.fd) return std::nullopt;
  }
  source.offset = packed->offset;
  source.size = packed->size;
  source.packed = true;
  return source;
}

std::optional<std::string> Objects::read(const Digest& digest) {
  const auto source = open(digest);
  if (!source) return std::nullopt;
  std::string bytes;
  bytes.reserve(source->size);
  if (read_source(*source, [&](std::string_view part) { bytes += part; }) && util::digest_of(bytes) == digest)
    return bytes;
  quarantine(digest);
  return std::nullopt;
}

namespace {
// Of what verify() finds its caller tells, all together.
thread_local bool tells_of_damage = true;
struct Silence {
  Silence() { tells_of_damage = false; }
  ~Silence() { tells_of_damage = true; }
};

void tell_of_damage(const std::string& message) {
  tells_of_damage ? util::log_warning(message) : util::log_debug(message);
}
}  // namespace

bool Objects::verify(const Digest& digest) {
  const auto source = open(digest);
  if (!source) return false;
  util::Sha256 hash;
  if (read_source(*source, [&](std::string_view part) { hash.update(part); }) && hash.digest() == digest)
    return true;
  const Silence silence;
  quarantine(digest);
  return false;
}

void Objects::quarantine(const Digest& digest) {
  found_damage_ = true;
  // Before it is gone, so that whoever dies in between has not left a node that vouches for it.
  mark_incomplete();
  util::failpoint("quarantine_marked");
  const std::string place = directory_ + "/quarantine/" + digest.hex();
  if (::rename(object_path(digest).c_str(), place.c_str()) == 0) {
    tell_of_damage("object " + digest.hex() + " is damaged and was moved to " + place);
    return;
  }
  const std::lock_guard lock(mutex_);
  const auto packed = index_.find(digest);
  if (!packed) return;
  // The rest of the pack is not to blame: only this object is forgotten, its bytes are kept for inspection.
  tell_of_damage("object " + digest.hex() + " in pack " + packed->pack +
                 " is damaged and is not used any more");
  index_.remove_objects({digest});
}

std::vector<std::string> Objects::packs() {
  const std::lock_guard lock(mutex_);
  return index_.packs();
}

std::vector<db::PackedObject> Objects::objects_of(const std::string& pack) {
  std::vector<db::PackedObject> objects = read_pack_table(pack_path(pack), pack);
  const std::lock_guard lock(mutex_);
  std::erase_if(objects, [&](const db::PackedObject& object) {
    const auto found = index_.find(object.digest);
    return !found || found->pack != pack;
  });
  return objects;
}

void Objects::for_each_packed(
    const std::function<void(const Digest&, std::int64_t, std::uint64_t)>& on_object) {
  const std::lock_guard lock(mutex_);
  index_.for_each_object(on_object);
}

std::map<std::int64_t, std::string> Objects::pack_numbers() {
  const std::lock_guard lock(mutex_);
  return index_.pack_numbers();
}

void Objects::forget_packs(const std::vector<std::string>& packs) {
  const std::lock_guard lock(mutex_);
  index_.remove_packs(packs);
}

void Objects::forget_objects(const std::vector<Digest>& digests) {
  const std::lock_guard lock(mutex_);
  index_.remove_objects(digests);
}

std::string Objects::recall(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return index_.directory(path);
}

void Objects::recall_all(const std::vector<std::string>& paths,
                         const std::function<void(const std::string& path, std::string row)>& on_row) {
  const std::lock_guard lock(mutex_);
  index_.directories(paths, on_row);
}

void Objects::remember(const std::vector<std::pair<std::string, std::string>>& rows) {
  const std::lock_guard lock(mutex_);
  index_.put_directories(rows);
}

}  // namespace mlops::store
