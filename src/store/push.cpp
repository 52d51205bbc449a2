#include "store/push.hpp"

#include "store/pack.hpp"
#include "store/reach.hpp"
#include "store/tree.hpp"

#include <sys/stat.h>

#include <unordered_set>

namespace mlops::store {

namespace {

// More than the local store packs: there a file costs an inode, here a way there and back.
constexpr std::uint64_t packed_below = 128 << 10;
constexpr std::size_t pack_size = 8 << 20;
constexpr std::size_t packs_at_a_time = 8;  // which have to be held in memory
constexpr std::size_t worth_a_pack = 3;     // fewer small objects go alone

struct Wanted {
  util::Digest digest;
  std::uint64_t size = 0;
};

class Pusher {
 public:
  Pusher(Objects& objects, Remote& remote, RemoteCatalog& catalog, const OnProgress& on_progress)
      : objects_(objects), remote_(remote), catalog_(catalog), on_progress_(on_progress) {}

  PushResult push(const std::vector<Root>& roots, const PushOptions& options) {
    const std::vector<util::Digest> all = reach(objects_, roots);
    catalog_.look_for(all, options.check);
    for (const util::Digest& digest : all) {
      if (catalog_.find(digest)) {
        ++result_.there;
        continue;
      }
      const auto source = objects_.open(digest);
      if (!source) {
        ++result_.absent;
        continue;
      }
      (source->size < packed_below ? small_ : large_).push_back({digest, source->size});
      ++progress_.of_objects;
      progress_.of_bytes += source->size;
    }
    if (options.dry_run) {
      result_.objects = progress_.of_objects;
      result_.bytes = progress_.of_bytes;
      return result_;
    }
    push_large();
    push_small();
    return result_;
  }

 private:
  void sent(std::uint64_t count, std::uint64_t bytes) {
    result_.objects += count;
    result_.bytes += bytes;
    progress_.objects += count;
    progress_.bytes += bytes;
    if (on_progress_) on_progress_(progress_);
  }

  void lost(const util::Digest& digest) {
    ++result_.damaged;
    objects_.quarantine(digest);
  }

  void upload(std::vector<Upload>& files, const std::function<void(std::size_t)>& note) {
    if (!files.empty()) remote_.upload(files, note);
  }

  void push_large() {
    std::vector<Upload> files;
    for (const Wanted& wanted : large_) {
      Upload file;
      file.name = object_name(wanted.digest);
      file.path = objects_.object_path(wanted.digest);
      file.size = wanted.size;
      file.digest = wanted.digest;
      files.push_back(std::move(file));
    }
    upload(files, [&](std::size_t i) {
      if (files[i].damaged) return lost(files[i].digest);
      catalog_.add_files({{files[i].digest, "", 0, files[i].size, {}}});
      sent(1, files[i].size);
    });
  }

  // What was handed over so far becomes a file for the remote.
  void close_pack() {
    if (pack_objects_.empty()) return;
    Upload file;
    const std::string tail = pack_tail(pack_objects_, pack_bytes_.size());
    file.bytes = std::move(pack_bytes_) + tail;
    file.size = file.bytes.size();
    file.digest = util::digest_of(file.bytes);
    // Named by what is in it: a push that was interrupted makes the same pack again.
    const std::string name = file.digest.hex().substr(0, 32);
    file.name = "packs/" + name + ".pack";
    file.then_name = "packs/" + name + ".idx";
    file.then_bytes = tail;
    for (db::PackedObject& object : pack_objects_) object.pack = name;
    packs_.push_back(std::move(file));
    contents_.push_back(std::move(pack_objects_));
    pack_objects_.clear();
    pack_bytes_ = pack_head;
    if (packs_.size() == packs_at_a_time) send_packs();
  }

  void send_packs() {
    upload(packs_, [&](std::size_t i) {
      catalog_.add_pack(contents_[i].front().pack, contents_[i]);
      ++result_.packs;
      std::uint64_t bytes = 0;
      for (const db::PackedObject& object : contents_[i]) bytes += object.size;
      sent(contents_[i].size(), bytes);
    });
    packs_.clear();
    contents_.clear();
  }

  void push_alone(const std::vector<Wanted>& few) {
    std::vector<Upload> files;
    for (const Wanted& wanted : few) {
      auto bytes = objects_.read(wanted.digest);
      if (!bytes) {
        ++result_.damaged;
        continue;
      }
      Upload file;
      file.name = object_name(wanted.digest);
      file.size = bytes->size();
      file.bytes = std::move(*bytes);
      file.digest = wanted.digest;
      files.push_back(std::move(file));
    }
    upload(files, [&](std::size_t i) {
      catalog_.add_files({{files[i].digest, "", 0, files[i].size, {}}});
      sent(1, files[i].size);
    });
  }

  void push_small() {
    if (small_.size() < worth_a_pack) return push_alone(small_);
    pack_bytes_ = pack_head;
    for (const Wanted& wanted : small_) {
      const auto bytes = objects_.read(wanted.digest);  // which quarantines a damaged one
      if (!bytes) {
        ++result_.damaged;
        continue;
      }
      if (pack_bytes_.size() + bytes->size() > pack_size) close_pack();
      pack_objects_.push_back({wanted.digest, "", pack_bytes_.size(), bytes->size()});
      pack_bytes_ += *bytes;
    }
    close_pack();
    send_packs();
  }

  Objects& objects_;
  Remote& remote_;
  RemoteCatalog& catalog_;
  const OnProgress& on_progress_;
  PushResult result_;
  Progress progress_;
  std::vector<Wanted> large_, small_;
  std::string pack_bytes_;
  std::vector<db::PackedObject> pack_objects_;
  std::vector<Upload> packs_;
  std::vector<std::vector<db::PackedObject>> contents_;  // of packs_
};

}  // namespace

PushResult push_objects(Objects& objects, Remote& remote, RemoteCatalog& catalog,
                        const std::vector<Root>& roots, const PushOptions& options,
                        const OnProgress& on_progress) {
  return Pusher(objects, remote, catalog, on_progress).push(roots, options);
}

}  // namespace mlops::store
