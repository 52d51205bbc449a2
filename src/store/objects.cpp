#include "store/objects.hpp"

#include <mlops/error.hpp>

#include "store/pack.hpp"
#include "util/failpoint.hpp"
#include "util/files.hpp"
#include "util/id.hpp"
#include "util/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <set>

namespace mlops::store {

namespace {

constexpr const char* parts[] = {"objects", "packs", "tmp", "quarantine"};
constexpr std::size_t buffer_size = 1 << 18;

// Hands the bytes of a source to `sink`; false if it ends too early.
template <typename Sink>
bool read_source(const ObjectSource& source, const Sink& sink) {
  std::vector<char> buffer(std::min<std::uint64_t>(buffer_size, source.size));
  for (std::uint64_t done = 0; done < source.size;) {
    const std::size_t want = std::min<std::uint64_t>(buffer.size(), source.size - done);
    const ssize_t n = ::pread(source.fd.get(), buffer.data(), want, static_cast<off_t>(source.offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sink(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
    done += static_cast<std::uint64_t>(n);
  }
  return true;
}

}  // namespace

Objects::Objects(std::string directory)
    : directory_(std::move(directory)), index_([this] {
        for (const char* part : parts) util::make_directories(directory_ + "/" + part);
        return directory_ + "/index.db";
      }()) {
  adopt_packs();
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

void Objects::adopt_packs() {
  const std::lock_guard lock(mutex_);
  const std::vector<std::string> known = index_.packs();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/packs", error)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".pack" || std::binary_search(known.begin(), known.end(), name)) continue;
    const auto objects = read_pack_table(entry.path().string(), name);
    if (objects.empty()) {
      util::log_warning("'" + entry.path().string() + "' is no whole pack of objects and is not used");
      continue;
    }
    index_.add_pack(name, objects);
  }
}

bool Objects::has(const Digest& digest) {
  struct stat st {};
  if (::stat(object_path(digest).c_str(), &st) == 0) return true;
  const std::lock_guard lock(mutex_);
  return index_.find(digest).has_value();
}

bool Objects::refresh(const Digest& digest) {
  if (::utimensat(AT_FDCWD, object_path(digest).c_str(), nullptr, 0) == 0) return true;
  const std::lock_guard lock(mutex_);
  const auto packed = index_.find(digest);
  if (!packed) return false;
  if (refreshed_.insert(packed->pack).second)
    ::utimensat(AT_FDCWD, pack_path(packed->pack).c_str(), nullptr, 0);
  return true;
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

bool Objects::verify(const Digest& digest) {
  const auto source = open(digest);
  if (!source) return false;
  util::Sha256 hash;
  if (read_source(*source, [&](std::string_view part) { hash.update(part); }) && hash.digest() == digest)
    return true;
  quarantine(digest);
  return false;
}

void Objects::quarantine(const Digest& digest) {
  const std::string place = directory_ + "/quarantine/" + digest.hex();
  if (::rename(object_path(digest).c_str(), place.c_str()) == 0) {
    util::log_warning("object " + digest.hex() + " is damaged and was moved to " + place);
    return;
  }
  const std::lock_guard lock(mutex_);
  const auto packed = index_.find(digest);
  if (!packed) return;
  // The rest of the pack is not to blame: only this object is forgotten, its bytes are kept for inspection.
  util::log_warning("object " + digest.hex() + " in pack " + packed->pack +
                    " is damaged and is not used any more");
  index_.remove_object(digest);
}

std::vector<std::string> Objects::packs() {
  const std::lock_guard lock(mutex_);
  return index_.packs();
}

std::vector<db::PackedObject> Objects::objects_of(const std::string& pack) {
  const std::lock_guard lock(mutex_);
  return index_.objects_of(pack);
}

void Objects::forget_pack(const std::string& pack) {
  const std::lock_guard lock(mutex_);
  index_.remove_pack(pack);
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

Publisher::~Publisher() {
  for (const Loose& loose : loose_) ::unlink(loose.temporary.c_str());
  for (const auto& [name, temporary] : packs_) ::unlink(temporary.c_str());
}

// True the first time that it is asked about a digest which is not in the store.
bool Publisher::claim(const Digest& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (pending_.contains(digest)) return false;
  }
  // What is here already counts as new from now on, so that gc leaves it alone until it is referred to.
  if (objects_.refresh(digest)) return false;
  const std::lock_guard lock(mutex_);
  return pending_.insert(digest).second;
}

Digest Publisher::add(std::string_view bytes) {
  const Digest digest = util::digest_of(bytes);
  if (claim(digest)) write(digest, bytes);
  return digest;
}

void Publisher::add_again(std::string_view bytes) { write(util::digest_of(bytes), bytes); }

void Publisher::write(const Digest& digest, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  ++written_;
  bytes_ += bytes.size();
  if (bytes.size() < small_object) {
    small_.push_back({digest, small_bytes_.size(), static_cast<std::uint32_t>(bytes.size())});
    small_bytes_ += bytes;
    if (small_bytes_.size() > pack_limit) write_pack();
    return;
  }
  const std::string temporary = objects_.temporary_path();
  const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0444);
  loose_.push_back({digest, temporary});
  if (const int error = util::write_all(fd.get(), bytes))
    throw_errno("cannot write to the store in '" + objects_.directory() + "'", error);
}

void Publisher::add_written(const Digest& digest, std::string temporary, std::uint64_t size) {
  if (!claim(digest)) {
    ::unlink(temporary.c_str());
    return;
  }
  const std::lock_guard lock(mutex_);
  ++written_;
  bytes_ += size;
  loose_.push_back({digest, std::move(temporary)});
}

// What lies in small_ becomes a temporary file: one object alone, or a pack.
void Publisher::write_pack() {
  const std::string temporary = objects_.temporary_path();
  const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0444);
  const std::string name = util::new_id() + "-" + std::to_string(::getpid());
  packs_.emplace_back(name, temporary);
  std::vector<db::PackedObject> objects;
  objects.reserve(small_.size());
  for (const Small& small : small_)
    objects.push_back({small.digest, name, pack_head.size() + small.offset, small.size});
  int error = util::write_all(fd.get(), pack_head);
  if (error == 0) error = util::write_all(fd.get(), small_bytes_);
  if (error == 0)
    error = util::write_all(fd.get(), pack_tail(objects, pack_head.size() + small_bytes_.size()));
  if (error != 0) throw_errno("cannot write to the store in '" + objects_.directory() + "'", error);
  packed_.insert(packed_.end(), objects.begin(), objects.end());
  small_.clear();
  small_bytes_.clear();
}

void Publisher::write_small() {
  // A handful is not worth a pack, which only gc takes apart again.
  if (packs_.empty() && small_.size() < 8) {
    for (const Small& small : small_) {
      const std::string temporary = objects_.temporary_path();
      const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0444);
      loose_.push_back({small.digest, temporary});
      const int error =
          util::write_all(fd.get(), std::string_view(small_bytes_).substr(small.offset, small.size));
      if (error != 0) throw_errno("cannot write to the store in '" + objects_.directory() + "'", error);
    }
    small_.clear();
    small_bytes_.clear();
  } else if (!small_.empty()) {
    write_pack();
  }
}

namespace {

// One call for many files, or one a file for a few: a small run must not wait for a stranger's gigabytes.
void sync_all(const std::vector<std::string>& paths, const std::string& directory) {
  constexpr std::size_t few = 32;
  if (paths.size() > few) {
    const util::Fd fd = util::open_file(directory, O_RDONLY | O_DIRECTORY);
    if (::syncfs(fd.get()) != 0) throw_errno("cannot sync the store in '" + directory + "'", errno);
    return;
  }
  for (const std::string& path : paths) {
    const util::Fd fd = util::open_file(path, O_RDONLY);
    if (::fsync(fd.get()) != 0) throw_errno("cannot sync '" + path + "'", errno);
  }
}

void move_into_place(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  if (errno == ENOENT) {
    util::make_directories(std::filesystem::path(to).parent_path().string());
    if (::rename(from.c_str(), to.c_str()) == 0) return;
  }
  throw_errno("cannot publish '" + to + "'", errno);
}

}  // namespace

void Publisher::commit() {
  write_small();
  if (loose_.empty() && packs_.empty()) return;
  std::vector<std::string> files;
  std::set<std::string> directories;
  for (const Loose& loose : loose_) files.push_back(loose.temporary);
  for (const auto& [name, temporary] : packs_) files.push_back(temporary);
  sync_all(files, objects_.directory());
  util::failpoint("publish_synced");
  for (const Loose& loose : loose_) {
    const std::string path = objects_.object_path(loose.digest);
    move_into_place(loose.temporary, path);
    directories.insert(std::filesystem::path(path).parent_path().string());
  }
  if (!loose_.empty()) directories.insert(objects_.directory() + "/objects");
  for (const auto& [name, temporary] : packs_) {
    move_into_place(temporary, objects_.pack_path(name));
    directories.insert(objects_.directory() + "/packs");
  }
  util::failpoint("publish_renamed");
  sync_all({directories.begin(), directories.end()}, objects_.directory());
  {
    const std::lock_guard lock(objects_.mutex_);
    for (const auto& [name, temporary] : packs_) {
      std::vector<db::PackedObject> objects;
      std::copy_if(packed_.begin(), packed_.end(), std::back_inserter(objects),
                   [&](const auto& o) { return o.pack == name; });
      objects_.index_.add_pack(name, objects);
    }
  }
  loose_.clear();
  packs_.clear();
  packed_.clear();
  pending_.clear();
}

}  // namespace mlops::store
