// Content-addressed objects below one directory: large ones as files of their own, small ones packed
// together.
//
//   objects/ab/cdef…   an object, named by the SHA-256 of its bytes, mode 0444
//   packs/NAME.pack    many small objects, see store/pack.hpp
//   tmp/               what is being written; nothing there is an object yet
//   quarantine/        objects whose bytes were found damaged
//   leases/            what living processes rely on, see store/lease.hpp
//   incomplete         while it exists, a node of a tree may be here without all that is below it
//   index.db           where packed objects lie, and the digests of unchanged files; rebuilt when it is lost
#pragma once

#include "db/store_index.hpp"
#include "util/digest.hpp"
#include "util/fd.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mlops::store {

using util::Digest;

class Lease;

/// An object that can be read.
struct ObjectSource {
  util::Fd fd;
  std::uint64_t offset = 0;  ///< of its first byte in `fd`
  std::uint64_t size = 0;
  bool packed = false;
};

/// Thread-safe. Several processes may use one directory.
class Objects {
 public:
  /// Makes the directory's parts as needed. Throws Error(io).
  explicit Objects(std::string directory);

  const std::string& directory() const { return directory_; }

  bool has(const Digest& digest);
  /// As has(), and makes the object as young as a new one, so that gc leaves it alone. Once this process has
  /// met a damaged one, none is taken for whole unseen: what is published anew takes the place of what has
  /// rotted.
  bool refresh(const Digest& digest);
  /// As refresh() for many, in packs only: a small object that also lies alone is worth a copy, not a look.
  std::vector<bool> refresh_packed(const std::vector<Digest>& digests);
  /// Those of `digests` that are not here.
  std::vector<Digest> missing(const std::vector<Digest>& digests);

  /// Keeps gc in other processes from removing `digest`, and all below it if it is a tree, as long as the
  /// lease lasts that this process has on the store. Without a lease it does nothing.
  void hold(const Digest& digest, bool directory);
  /// hold(), and true if the node is here with all that is below it.
  bool vouches_for_all_below(const Digest& node);
  /// From now on nodes do not vouch for what is below them; gc finds out whether they can again. Returns the
  /// time of the mark.
  std::int64_t mark_incomplete();
  bool incomplete() const;
  /// Takes back the mark of that time, unless somebody has set it again meanwhile.
  void unmark_incomplete(std::int64_t mark);
  std::optional<ObjectSource> open(const Digest& digest);

  /// All bytes of an object, checked against its name; a damaged one is quarantined and counts as absent.
  std::optional<std::string> read(const Digest& digest);

  /// True if the object is here and its bytes fit its name; a damaged one is quarantined.
  bool verify(const Digest& digest);
  void quarantine(const Digest& digest);

  /// Whoever reads a large file for this store gives up with an Error.
  void stop_reading() { stopped_ = true; }
  bool stopped() const { return stopped_; }

  std::string object_path(const Digest& digest) const;
  std::string pack_path(const std::string& name) const;
  std::string temporary_path() const;

  /// What the index remembers of the files at a path, see store/file_index.hpp.
  std::string recall(const std::string& path);
  void recall_all(const std::vector<std::string>& paths,
                  const std::function<void(const std::string& path, std::string row)>& on_row);
  void remember(const std::vector<std::pair<std::string, std::string>>& rows);

  std::vector<std::string> packs();
  /// Those objects in the file of a pack that the index has there.
  std::vector<db::PackedObject> objects_of(const std::string& pack);
  void for_each_packed(
      const std::function<void(const Digest&, std::int64_t pack, std::uint64_t size)>& on_object);
  std::map<std::int64_t, std::string> pack_numbers();
  void forget_packs(const std::vector<std::string>& packs);
  void forget_objects(const std::vector<Digest>& digests);

  /// Takes notice of packs that others made, or that an index which was lost knew of.
  void adopt_packs();

  /// Held for moments, by all threads and processes: no object is removed between a look and what follows.
  class Moment {
   public:
    explicit Moment(Objects& objects);
    ~Moment();
    Moment(const Moment&) = delete;
    Moment& operator=(const Moment&) = delete;

   private:
    Objects& objects_;
    std::lock_guard<std::recursive_mutex> lock_;
  };

 private:
  friend class Lease;
  friend class Publisher;
  std::string marker() const { return directory_ + "/incomplete"; }
  bool make_young(const Digest& digest);
  bool touch_pack(const std::string& pack);
  std::vector<std::string> unknown_packs();

  std::string directory_;
  std::atomic<bool> stopped_ = false, found_damage_ = false;
  std::mutex mutex_;  // of index_
  db::StoreIndex index_;
  std::unordered_set<std::string> refreshed_;  // packs, by this process
  util::Fd use_lock_;
  std::recursive_mutex use_mutex_;  // taken before mutex_
  int moments_ = 0;                 // within each other
  Lease* lease_ = nullptr;
};

/// Files below this size are packed when several are published at once.
inline constexpr std::uint64_t small_object = 16 * 1024;
/// Bytes from memory, such as nodes of trees, are packed up to this size.
inline constexpr std::uint64_t packed_object = 256 * 1024;

/// Publishes a batch of objects; all of it is durable after commit(). A large batch is published in parts, so
/// that memory does not grow with it. Whoever adds a node of a tree after what is below it can rely on that
/// the node never appears before: parts take turns in the order in which they were filled, whichever threads
/// filled them, and none follows one that failed. What was not committed goes with the next gc.
/// Thread-safe but for commit().
class Publisher {
 public:
  explicit Publisher(Objects& objects) : objects_(objects) {}
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// Adds bytes; returns their name.
  Digest add(std::string_view bytes);

  /// As add(), also when the store has it: to move an object out of a pack.
  void add_again(std::string_view bytes);

  /// Takes over the file `temporary` (from Objects::temporary_path()), which holds the object `digest`.
  void add_written(const Digest& digest, std::string temporary, std::uint64_t size);

  void commit();

  std::uint64_t objects_written() const { return written_; }
  std::uint64_t bytes_written() const { return bytes_; }

 private:
  struct Loose {
    Digest digest;
    std::string temporary;
  };
  struct Small {
    Digest digest;
    std::size_t offset = 0;  // in `bytes`
    std::uint32_t size = 0;
  };
  /// What is published in one turn: files, then a pack.
  struct Batch {
    std::uint64_t turn = 0;
    std::vector<Small> objects;
    std::unordered_set<Digest, util::DigestHash> names;
    std::string bytes;
    std::vector<Loose> before;  // no node among them has any of `objects` below it
    bool again = false;         // some of it is to be written although the store has it
  };
  static constexpr std::size_t pack_limit = 8 << 20;
  static constexpr std::size_t loose_limit = 512;

  void write(const Digest& digest, std::string_view bytes, bool again);
  // With the mutex held: what was added so far, or of that only the files.
  Batch take_batch();
  Batch take_loose();
  void publish(Batch batch);
  void publish_in_turn(Batch& batch);
  void publish_pack(const Batch& batch);
  void publish_alone(Batch& batch);
  void publish_loose(const std::vector<Loose>& loose);

  Objects& objects_;
  std::mutex mutex_;  // of all below
  Batch batch_;
  std::vector<Loose> loose_;
  std::unordered_set<Digest, util::DigestHash> loose_names_;
  std::uint64_t next_turn_ = 0, turn_ = 0;  // of the next batch to be taken, and to be published
  std::condition_variable turned_;
  std::exception_ptr failure_;  // of a turn
  bool packed_one_ = false;
  std::uint64_t written_ = 0, bytes_ = 0;
};

}  // namespace mlops::store
