#include "store/gc.hpp"

#include <mlops/error.hpp>

#include "store/file_reader.hpp"
#include "store/live_set.hpp"
#include "store/pack.hpp"
#include "store/tree.hpp"
#include "util/failpoint.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

namespace mlops::store {

namespace {

namespace fs = std::filesystem;

// Calls `on_object` with the digest, the path and the state of each object that is a file of its own.
void for_each_loose(
    const Objects& objects,
    const std::function<void(const util::Digest&, const std::string& path, const struct stat&)>& on_object,
    const std::function<void()>& after_folder = nullptr) {
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(objects.directory() + "/objects", error)) {
    const std::string head = folder.path().filename().string();
    for (const auto& entry : fs::directory_iterator(folder.path(), error)) {
      const auto digest = util::Digest::from_hex(head + entry.path().filename().string());
      struct stat st {};
      if (digest && ::stat(entry.path().c_str(), &st) == 0) on_object(*digest, entry.path().string(), st);
    }
    if (after_folder) after_folder();
  }
}

class Collector {
 public:
  Collector(Objects& objects, const GcOptions& options)
      : objects_(objects),
        dry_run_(options.dry_run),
        leases_(objects),
        began_(coarse_clock_ns() - std::chrono::nanoseconds(options.grace).count() - slack) {}

  GcResult run(const std::vector<Root>& roots) {
    for (const Root& root : roots) mark(root);
    {
      const Objects::Moment moment(objects_);
      mark_news();
    }
    mark_below_young();
    sweep_packs();
    sweep_loose();
    sweep_temporaries();
    for (const Keeper keeper : {Keeper::pin, Keeper::running, Keeper::dataset, Keeper::tag, Keeper::run})
      result_.missing_objects += live_.unseen(static_cast<int>(keeper));
    result_.sound = !passed_over_ && live_.all_seen();
    return result_;
  }

 private:
  struct Pack {
    std::string name;
    GcCount live, dead;
    struct stat st {};
  };
  // A file may be stamped with a tick of the clock that was before it was written.
  static constexpr std::int64_t slack = 20'000'000;
  static constexpr std::uint64_t objects_at_once = 100'000;

  // --- Marking

  void mark(const Root& root) {
    const int reason = static_cast<int>(root.keeper);
    if (!objects_.has(root.digest)) {
      if (root.may_be_missing) return;
      // All versions of datasets should be here, of runs what no gc before was told to let go of.
      ++(root.keeper == Keeper::dataset ? result_.missing_objects : result_.absent_outputs);
      return;
    }
    const auto insert = [&](const util::Digest& digest) {
      live_.insert(digest, reason, root.may_be_missing);
    };
    // A tree of which a node is missing keeps what can still be seen of it.
    if (root.directory) {
      walk_objects(objects_, root.digest, walked_, insert);
    } else {
      insert(root.digest);
    }
  }

  // What has come to be held since. Within a Moment.
  void mark_news() {
    for (const Root& root : leases_.news()) mark(root);
  }

  // What is young was published or refreshed by somebody who may be about to refer to it. A young node would
  // vouch for what is below it, so that stays too.
  void mark_below_young() {
    std::vector<util::Digest> nodes;
    const auto look = [&](const util::Digest& digest, int fd, std::uint64_t offset) {
      char head[32];
      const ssize_t n = ::pread(fd, head, sizeof head, static_cast<off_t>(offset));
      if (n > 0 && is_tree({head, static_cast<std::size_t>(n)})) nodes.push_back(digest);
    };
    for (const std::string& name : objects_.packs()) {
      const util::Fd fd(::open(objects_.pack_path(name).c_str(), O_RDONLY | O_CLOEXEC));
      struct stat st {};
      if (!fd || ::fstat(fd.get(), &st) != 0 || !young(st)) continue;
      for (const db::PackedObject& object : objects_.objects_of(name)) {
        if (!live_.contains(object.digest)) look(object.digest, fd.get(), object.offset);
      }
    }
    for_each_loose(objects_, [&](const util::Digest& digest, const std::string& path, const struct stat& st) {
      if (!young(st) || live_.contains(digest)) return;
      const util::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      if (fd) look(digest, fd.get(), 0);
    });
    for (const util::Digest& node : nodes) mark({node, true, Keeper::young, true});
  }

  bool young(const struct stat& st) const {
    const std::int64_t changed = st.st_mtim.tv_sec * 1'000'000'000LL + st.st_mtim.tv_nsec;
    return changed >= std::min(began_, leases_.oldest() == INT64_MAX ? began_ : leases_.oldest() - slack);
  }

  void count_kept(const util::Digest& digest, std::uint64_t size) {
    const auto reason = live_.reason(digest);
    if (reason && !live_.see(digest)) return;  // it lies in two places
    GcCount& count = result_.kept[static_cast<std::size_t>(reason.value_or(static_cast<int>(Keeper::young)))];
    ++count.objects, count.bytes += size;
  }

  // --- Packs

  void sweep_packs() {
    std::vector<Pack> dead, wasteful, mixed;
    std::vector<std::string> gone;
    for (auto& [number, pack] : tally()) {
      if (pack.st.st_nlink == 0) {
        gone.push_back(pack.name);
      } else if (!young(pack.st)) {
        const auto size = static_cast<std::uint64_t>(pack.st.st_size);
        if (pack.live.objects == 0) {
          dead.push_back(pack);
        } else if (size > pack.live.bytes + pack.live.bytes + pack.live.objects * 44 &&
                   size > pack.live.bytes + 4'096) {
          wasteful.push_back(pack);
        } else if (pack.dead.objects > 0) {
          mixed.push_back(pack);
        }
      }
    }
    if (!dry_run_ && !gone.empty()) objects_.forget_packs(gone);
    for (const Pack& pack : mixed) forget_dead_in(pack);
    for (const Pack& pack : wasteful) rewrite(pack);
    for (std::size_t begin = 0; begin < dead.size();) {
      std::size_t end = begin;
      for (std::uint64_t count = 0; end < dead.size() && count < objects_at_once; ++end)
        count += dead[end].dead.objects + 1;
      remove_packs({dead.begin() + static_cast<std::ptrdiff_t>(begin),
                    dead.begin() + static_cast<std::ptrdiff_t>(end)},
                   tallied_);
      begin = end;
    }
  }

  // One look at the index for all packs. Those that are not there have no links.
  std::map<std::int64_t, Pack> tally() {
    std::map<std::int64_t, Pack> packs;
    tallied_ = live_.size();
    for (auto& [number, name] : objects_.pack_numbers()) {
      Pack& pack = packs[number];
      pack.name = name;
      if (::stat(objects_.pack_path(name).c_str(), &pack.st) != 0) pack.st.st_nlink = 0;
    }
    objects_.for_each_packed([&](const util::Digest& digest, std::int64_t number, std::uint64_t size) {
      const auto it = packs.find(number);
      if (it == packs.end() || it->second.st.st_nlink == 0) return;
      const bool live = live_.contains(digest);
      GcCount& count = live ? it->second.live : it->second.dead;
      ++count.objects, count.bytes += size;
      if (live || young(it->second.st)) count_kept(digest, size);
    });
    return packs;
  }

  // Whether a pack may still be removed or changed as was decided. Within a Moment, after mark_news().
  bool still_old(const Pack& pack) const {
    struct stat st {};
    return ::stat(objects_.pack_path(pack.name).c_str(), &st) == 0 && !young(st);
  }

  // Which held nothing that was needed when so many objects were known to be.
  void remove_packs(const std::vector<Pack>& packs, std::size_t known) {
    if (dry_run_) {
      for (const Pack& pack : packs) count_removed(pack.dead);
      return;
    }
    const Objects::Moment moment(objects_);
    mark_news();
    std::vector<std::string> names;
    for (const Pack& pack : packs) {
      if (!still_old(pack) || (live_.size() != known && holds_live(pack.name))) {
        passed_over_ = true;
        continue;
      }
      names.push_back(pack.name);
      count_removed(pack.dead);
    }
    objects_.forget_packs(names);
    util::failpoint("gc_packs_forgotten");
    for (const std::string& name : names) {
      if (::unlink(objects_.pack_path(name).c_str()) != 0 && errno != ENOENT)
        throw_errno("cannot remove '" + objects_.pack_path(name) + "'", errno);
      util::failpoint("gc_pack_removed");
    }
  }

  bool holds_live(const std::string& pack) {
    const auto members = objects_.objects_of(pack);
    return std::ranges::any_of(members, [&](const auto& object) { return live_.contains(object.digest); });
  }

  // A pack in which little is still needed is taken apart: what is needed goes into a new one.
  void rewrite(const Pack& pack) {
    ++result_.packs_rewritten;
    if (dry_run_) return count_removed(pack.dead);
    const std::size_t known = live_.size();
    Publisher publisher(objects_);
    for (const db::PackedObject& object : objects_.objects_of(pack.name)) {
      if (!live_.contains(object.digest)) continue;
      if (const auto bytes = objects_.read(object.digest)) publisher.add_again(*bytes);
    }
    publisher.commit();
    util::failpoint("gc_pack_rewritten");
    remove_packs({pack}, known);
  }

  // Where the larger part is needed, the rest is only forgotten: its place is taken back later.
  void forget_dead_in(const Pack& pack) {
    if (dry_run_) return count_waiting(pack.dead);
    const Objects::Moment moment(objects_);
    mark_news();
    if (!still_old(pack)) {
      passed_over_ = true;
      return;
    }
    std::vector<util::Digest> dead;
    GcCount count;
    for (const db::PackedObject& object : objects_.objects_of(pack.name)) {
      if (live_.contains(object.digest)) continue;
      dead.push_back(object.digest);
      ++count.objects, count.bytes += object.size;
    }
    objects_.forget_objects(dead);
    count_waiting(count);
    util::failpoint("gc_objects_forgotten");
  }

  // --- Objects that are files of their own

  void sweep_loose() {
    std::vector<std::pair<util::Digest, std::string>> dead;
    for_each_loose(
        objects_,
        [&](const util::Digest& digest, const std::string& path, const struct stat& st) {
          if (live_.contains(digest) || young(st)) {
            count_kept(digest, static_cast<std::uint64_t>(st.st_size));
          } else if (dry_run_) {
            count_removed({1, static_cast<std::uint64_t>(st.st_size)});
          } else {
            dead.emplace_back(digest, path);
          }
        },
        [&] {
          if (!dead.empty()) remove_loose(dead);
          dead.clear();
        });
  }

  void remove_loose(const std::vector<std::pair<util::Digest, std::string>>& dead) {
    const Objects::Moment moment(objects_);
    mark_news();
    for (const auto& [digest, path] : dead) {
      struct stat st {};
      if (::stat(path.c_str(), &st) != 0) continue;
      if (live_.contains(digest) || young(st)) {
        passed_over_ = true;
        continue;
      }
      if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("cannot remove '" + path + "'", errno);
      count_removed({1, static_cast<std::uint64_t>(st.st_size)});
      util::failpoint("gc_object_removed");
    }
  }

  void sweep_temporaries() const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(objects_.directory() + "/tmp", error)) {
      struct stat st {};
      const bool old = ::stat(entry.path().c_str(), &st) == 0 && !young(st);
      const pid_t pid = std::atoi(entry.path().filename().c_str());
      const bool alive = pid > 0 && (::kill(pid, 0) == 0 || errno != ESRCH);
      if (old && !alive && !dry_run_) ::unlink(entry.path().c_str());
    }
  }

  void count_removed(const GcCount& count) {
    result_.removed.objects += count.objects;
    result_.removed.bytes += count.bytes;
  }

  void count_waiting(const GcCount& count) {
    result_.removed.objects += count.objects;
    result_.waiting_bytes += count.bytes;
  }

  Objects& objects_;
  bool dry_run_;
  Leases leases_;
  std::int64_t began_;  // what was changed since is young
  LiveSet live_;
  WalkedNodes walked_;
  std::size_t tallied_ = 0;  // size of live_ when the packs were looked at
  bool passed_over_ =
      false;  // something that was to go has come into use, perhaps a node of which parts are gone
  GcResult result_;
};

}  // namespace

GcCount GcResult::all_kept() const {
  GcCount all;
  for (const GcCount& count : kept) all.objects += count.objects, all.bytes += count.bytes;
  return all;
}

const char* to_string(Keeper keeper) {
  constexpr const char* names[] = {"pins", "running", "datasets", "tags", "runs", "in_use", "young"};
  return names[static_cast<std::size_t>(keeper)];
}

const char* words_for(Keeper keeper) {
  constexpr const char* words[] = {
      "pinned",        "of running runs", "versions of datasets", "of runs with a tag",
      "recorded runs", "in use just now", "too young to go"};
  return words[static_cast<std::size_t>(keeper)];
}

GcResult collect_garbage(Objects& objects, const std::function<std::vector<Root>()>& find_roots,
                         const GcOptions& options) {
  const util::Fd lock = util::open_file(gc_lock_path(objects.directory()), O_RDWR | O_CREAT);
  if (!util::lock_fd(lock.get(), 0)) {
    throw Error(ExitCode::busy, "another process is cleaning the store in '" + objects.directory() + "'",
                "wait for it to end");
  }
  objects.adopt_packs();
  Collector collector(objects, options);
  if (options.dry_run) return collector.run(find_roots());
  const std::int64_t mark = objects.mark_incomplete();
  const GcResult result = collector.run(find_roots());
  util::failpoint("gc_swept");
  if (result.sound) objects.unmark_incomplete(mark);
  return result;
}

void for_each_object(Objects& objects,
                     const std::function<void(const util::Digest&, std::uint64_t)>& on_object) {
  for_each_loose(objects, [&](const util::Digest& digest, const std::string&, const struct stat& st) {
    on_object(digest, static_cast<std::uint64_t>(st.st_size));
  });
  objects.for_each_packed(
      [&](const util::Digest& digest, std::int64_t, std::uint64_t size) { on_object(digest, size); });
}

StoreUsage usage_of(Objects& objects) {
  StoreUsage usage;
  for_each_loose(objects, [&](const util::Digest&, const std::string&, const struct stat& st) {
    ++usage.loose_objects;
    usage.loose_bytes += static_cast<std::uint64_t>(st.st_size);
  });
  usage.packs = objects.packs().size();
  objects.for_each_packed([&](const util::Digest&, std::int64_t, std::uint64_t size) {
    ++usage.packed_objects;
    usage.packed_bytes += size;
  });
  std::error_code error;
  for ([[maybe_unused]] const auto& entry :
       fs::directory_iterator(objects.directory() + "/quarantine", error))
    ++usage.quarantined;
  return usage;
}

}  // namespace mlops::store
