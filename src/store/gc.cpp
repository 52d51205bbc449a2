#include "store/gc.hpp"

#include <mlops/error.hpp>

#include "store/tree.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <functional>
#include <unordered_set>

namespace mlops::store {

namespace {

namespace fs = std::filesystem;
using Live = std::unordered_set<util::Digest, util::DigestHash>;

// Every object that some root reaches. A tree of which a node is missing keeps what can still be seen of it.
Live mark(Objects& objects, const std::vector<Root>& roots, std::uint64_t& missing) {
  Live live;
  for (const Root& root : roots) {
    if (!root.directory) {
      live.insert(root.digest);
      continue;
    }
    walk_objects(
        objects, root.digest, [&](const util::Digest& digest) { return live.insert(digest).second; },
        [&](const util::Digest&) { ++missing; });
  }
  return live;
}

struct Age {
  std::time_t now = std::time(nullptr);
  std::time_t grace;
  bool young(const struct stat& st) const { return st.st_mtime > now - grace; }
};

void sweep_loose(Objects& objects, Live& live, const Age& age, bool dry_run, GcResult& result) {
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(objects.directory() + "/objects", error)) {
    const std::string head = folder.path().filename().string();
    for (const auto& entry : fs::directory_iterator(folder.path(), error)) {
      const auto digest = util::Digest::from_hex(head + entry.path().filename().string());
      struct stat st {};
      if (!digest || ::stat(entry.path().c_str(), &st) != 0) continue;
      const auto size = static_cast<std::uint64_t>(st.st_size);
      if (live.contains(*digest)) {
        ++result.kept_objects, result.kept_bytes += size;
      } else if (age.young(st)) {
        ++result.young_objects;
      } else {
        ++result.removed_objects, result.removed_bytes += size;
        if (!dry_run && ::unlink(entry.path().c_str()) != 0 && errno != ENOENT)
          throw_errno("cannot remove '" + entry.path().string() + "'", errno);
      }
    }
  }
}

// A pack in which little is still needed is taken apart: what is needed goes into a new one.
void sweep_packs(Objects& objects, const Live& live, const Age& age, bool dry_run, GcResult& result) {
  for (const std::string& name : objects.packs()) {
    struct stat st {};
    const std::string path = objects.pack_path(name);
    if (::stat(path.c_str(), &st) != 0) {
      if (errno == ENOENT && !dry_run) objects.forget_pack(name);
      continue;
    }
    std::uint64_t dead = 0, dead_bytes = 0, kept = 0, kept_bytes = 0;
    const auto members = objects.objects_of(name);
    for (const db::PackedObject& object : members) {
      const bool needed = live.contains(object.digest);
      ++(needed ? kept : dead);
      (needed ? kept_bytes : dead_bytes) += object.size;
    }
    result.kept_objects += kept, result.kept_bytes += kept_bytes;
    if (dead == 0) continue;
    if (age.young(st) || dead_bytes < kept_bytes) {
      // Not worth rewriting yet, or somebody may just be referring to it.
      result.young_objects += dead;
      continue;
    }
    result.removed_objects += dead, result.removed_bytes += dead_bytes;
    ++result.packs_rewritten;
    if (dry_run) continue;
    Publisher publisher(objects);
    for (const db::PackedObject& object : members) {
      if (!live.contains(object.digest)) continue;
      if (const auto bytes = objects.read(object.digest)) publisher.add_again(*bytes);
    }
    publisher.commit();
    objects.forget_pack(name);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("cannot remove '" + path + "'", errno);
  }
}

void sweep_temporaries(Objects& objects, const Age& age, bool dry_run) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(objects.directory() + "/tmp", error)) {
    struct stat st {};
    const bool old = ::stat(entry.path().c_str(), &st) == 0 && !age.young(st);
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    const bool alive = pid > 0 && (::kill(pid, 0) == 0 || errno != ESRCH);
    if (old && !alive && !dry_run) ::unlink(entry.path().c_str());
  }
}

}  // namespace

GcResult collect_garbage(Objects& objects, const std::vector<Root>& roots, const GcOptions& options) {
  const util::Fd lock = util::open_file(objects.directory() + "/gc.lock", O_RDWR | O_CREAT);
  if (!util::lock_fd(lock.get(), 0)) {
    throw Error(ExitCode::busy, "another process is cleaning the store in '" + objects.directory() + "'",
                "wait for it to end");
  }
  objects.adopt_packs();
  GcResult result;
  Live live = mark(objects, roots, result.missing_objects);
  const Age age{.grace = options.grace.count()};
  sweep_packs(objects, live, age, options.dry_run, result);
  sweep_loose(objects, live, age, options.dry_run, result);
  sweep_temporaries(objects, age, options.dry_run);
  return result;
}

void for_each_object(Objects& objects,
                     const std::function<void(const util::Digest&, std::uint64_t)>& on_object) {
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(objects.directory() + "/objects", error)) {
    const std::string head = folder.path().filename().string();
    for (const auto& entry : fs::directory_iterator(folder.path(), error)) {
      const auto digest = util::Digest::from_hex(head + entry.path().filename().string());
      if (digest) on_object(*digest, entry.file_size(error));
    }
  }
  for (const std::string& name : objects.packs()) {
    for (const db::PackedObject& object : objects.objects_of(name)) on_object(object.digest, object.size);
  }
}

StoreUsage usage_of(Objects& objects) {
  StoreUsage usage;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(objects.directory() + "/objects", error)) {
    for (const auto& entry : fs::directory_iterator(folder.path(), error)) {
      ++usage.loose_objects;
      usage.loose_bytes += entry.file_size(error);
    }
  }
  for (const std::string& name : objects.packs()) {
    ++usage.packs;
    for (const db::PackedObject& object : objects.objects_of(name)) {
      ++usage.packed_objects;
      usage.packed_bytes += object.size;
    }
  }
  for ([[maybe_unused]] const auto& entry :
       fs::directory_iterator(objects.directory() + "/quarantine", error))
    ++usage.quarantined;
  return usage;
}

}  // namespace mlops::store
