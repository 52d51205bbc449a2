// Content-addressed objects below one directory: large ones as files of their own, small ones packed
// together.
//
//   objects/ab/cdef…   an object, named by the SHA-256 of its bytes, mode 0444
//   packs/NAME.pack    many small objects, see store/pack.hpp
//   tmp/               what is being written; nothing there is an object yet
//   quarantine/        objects whose bytes were found damaged
//   index.db           where packed objects lie, and the digests of unchanged files; rebuilt when it is lost
#pragma once

#include "db/store_index.hpp"
#include "util/digest.hpp"
#include "util/fd.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mlops::store {

using util::Digest;

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
  /// As has(), and makes the object as young as a new one.
  bool refresh(const Digest& digest);
  /// Those of `digests` that are not here.
  std::vector<Digest> missing(const std::vector<Digest>& digests);
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
  std::vector<db::PackedObject> objects_of(const std::string& pack);
  void forget_pack(const std::string& pack);

  /// Takes notice of packs that others made, or that an index which was lost knew of.
  void adopt_packs();

 private:
  std::string directory_;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;  // of index_
  db::StoreIndex index_;
  std::unordered_set<std::string> refreshed_;  // packs, by this process
  friend class Publisher;
};

/// Objects below this size are packed when several are published at once.
inline constexpr std::uint64_t small_object = 16 * 1024;

/// Publishes a batch of objects: nothing of it can be seen before commit(), all of it is durable afterwards.
/// What is not committed leaves nothing but files in tmp/, which gc removes. Thread-safe but for commit().
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
    std::uint64_t offset = 0;  // in small_bytes_
    std::uint32_t size = 0;
  };
  static constexpr std::size_t pack_limit = 16 << 20;

  bool claim(const Digest& digest);
  void write(const Digest& digest, std::string_view bytes);
  void write_pack();
  void write_small();

  Objects& objects_;
  std::mutex mutex_;
  std::vector<Loose> loose_;
  std::vector<Small> small_;
  std::string small_bytes_;
  std::vector<db::PackedObject> packed_;                    // of packs_
  std::vector<std::pair<std::string, std::string>> packs_;  // name, temporary file
  std::unordered_set<Digest, util::DigestHash> pending_;
  std::uint64_t written_ = 0, bytes_ = 0;
};

}  // namespace mlops::store
