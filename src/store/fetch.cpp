#include "store/fetch.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "store/reach.hpp"
#include "store/tree.hpp"
#include "util/fd_lock.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <unordered_set>

namespace mlops::store {

namespace {

constexpr std::uint64_t in_memory = 1 << 20;    // an object up to this size is got into memory
constexpr std::uint64_t wave_bytes = 64 << 20;  // in memory at a time
constexpr std::size_t wave_files = 64;
constexpr std::uint64_t gap = 64 << 10;  // bytes of a pack that are rather read than asked around
constexpr std::uint64_t longest_range = 8 << 20;

// A part of a pack, or a whole file, and the objects in it.
struct Piece {
  std::string name;
  std::uint64_t offset = 0, size = 0;
  std::vector<db::Location> objects;
  std::string path;      // of a large object: what it is got into
  bool resumed = false;  // there was something in it before
  util::Fd lock;
};

std::uint64_t file_size(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

class Fetcher {
 public:
  Fetcher(Objects& objects, Remote& remote, RemoteCatalog& catalog, const OnProgress& on_progress)
      : objects_(objects), remote_(remote), catalog_(catalog), on_progress_(on_progress) {}

  // The nodes of a tree tell what else is needed, so that each level of one is a round. Nodes are here before
  // what is below them, and the store says so until all is.
  FetchResult fetch(const std::vector<Root>& roots, bool dry_run) {
    const bool sound = !objects_.incomplete();
    std::optional<std::int64_t> mark;
    while (true) {
      std::vector<util::Digest> missing;
      for (const util::Digest& digest : reach(objects_, roots)) {
        if (!given_up_.contains(digest) && !objects_.has(digest)) missing.push_back(digest);
      }
      if (missing.empty()) {
        if (mark && sound && no_gaps(roots)) objects_.unmark_incomplete(*mark);
        return std::move(result_);
      }
      catalog_.look_for(missing, false);
      std::vector<Piece> pieces = plan(missing);
      if (dry_run) {
        result_.objects = progress_.of_objects;
        result_.bytes = progress_.of_bytes;
        return std::move(result_);
      }
      if (!mark) mark = objects_.mark_incomplete();
      get_all(pieces);
    }
  }

 private:
  // Whether all is here below what is here. What was given up may be a root, which leaves no gap.
  bool no_gaps(std::vector<Root> roots) {
    if (given_up_.empty()) return true;
    std::erase_if(roots, [&](const Root& root) { return !objects_.has(root.digest); });
    return std::ranges::all_of(missing_of(objects_, roots), [](std::uint64_t count) { return count == 0; });
  }

  // Objects that lie near each other in a pack are got together.
  std::vector<Piece> plan(const std::vector<util::Digest>& missing) {
    std::map<std::string, std::vector<db::Location>> packs;
    std::vector<Piece> pieces;
    for (const util::Digest& digest : missing) {
      const auto location = catalog_.find(digest);
      if (!location) {
        ++result_.absent;
        given_up_.insert(digest);
        continue;
      }
      ++progress_.of_objects;
      progress_.of_bytes += location->size;
      if (!location->pack.empty()) {
        packs[location->pack].push_back(*location);
        continue;
      }
      Piece piece;
      piece.name = object_name(digest);
      piece.size = location->size;
      piece.objects.push_back(*location);
      pieces.push_back(std::move(piece));
    }
    for (auto& [name, objects] : packs) {
      std::ranges::sort(objects, {}, &db::Location::offset);
      Piece piece;
      for (db::Location& object : objects) {
        const std::uint64_t end = object.offset + object.size;
        if (!piece.objects.empty() &&
            (object.offset > piece.offset + piece.size + gap || end - piece.offset > longest_range))
          pieces.push_back(std::exchange(piece, {}));
        if (piece.objects.empty()) {
          piece.name = "packs/" + name + ".pack";
          piece.offset = object.offset;
        }
        piece.size = std::max(piece.size, end - piece.offset);
        piece.objects.push_back(std::move(object));
      }
      if (!piece.objects.empty()) pieces.push_back(std::move(piece));
    }
    return pieces;
  }

  void get_all(std::vector<Piece>& pieces) {
    for (std::size_t begin = 0; begin < pieces.size();) {
      std::size_t end = begin;
      for (std::uint64_t bytes = 0; end < pieces.size() && end - begin < wave_files && bytes < wave_bytes;
           ++end) {
        if (pieces[end].size <= in_memory || pieces[end].objects.size() > 1) bytes += pieces[end].size;
      }
      get_wave({pieces.begin() + static_cast<std::ptrdiff_t>(begin),
                pieces.begin() + static_cast<std::ptrdiff_t>(end)});
      begin = end;
    }
  }

  // A name that a later fetch finds again; if another process is at it, one of its own.
  void prepare(Piece& piece) {
    piece.path = objects_.directory() + "/tmp/fetch-" + piece.objects[0].digest.hex() + ".part";
    piece.lock = util::open_file(piece.path, O_RDWR | O_CREAT);
    if (!util::lock_fd(piece.lock.get(), 0)) {
      piece.path = objects_.temporary_path();
      piece.lock.reset();
    } else if (file_size(piece.path) > piece.size) {
      if (::ftruncate(piece.lock.get(), 0) != 0) throw_errno("cannot truncate '" + piece.path + "'", errno);
    }
    piece.resumed = file_size(piece.path) > 0;
  }

  void get_wave(std::span<Piece> wave) {
    std::vector<Download> files(wave.size());
    for (std::size_t i = 0; i < wave.size(); ++i) {
      Piece& piece = wave[i];
      if (piece.size > in_memory && piece.objects[0].pack.empty()) prepare(piece);
      files[i].name = piece.name;
      files[i].offset = piece.offset;
      files[i].size = piece.size;
      files[i].path = piece.path;
    }
    remote_.download(files, [&](std::size_t i) {
      progress_.objects += wave[i].objects.size();
      progress_.bytes += wave[i].size;
      if (on_progress_) on_progress_(progress_);
    });
    Publisher publisher(objects_);
    std::mutex mutex;
    const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    parallel_for(wave.size(), threads, [&](std::size_t i) {
      Taken taken;
      if (!files[i].missing && wave[i].path.empty()) take_bytes(wave[i], files[i].bytes, publisher, taken);
      if (!files[i].missing && !wave[i].path.empty()) take_file(wave[i], publisher, taken);
      const std::lock_guard lock(mutex);
      if (files[i].missing) gone(wave[i]);
      result_.objects += taken.objects;
      result_.bytes += taken.bytes;
      result_.damaged.insert(result_.damaged.end(), taken.damaged.begin(), taken.damaged.end());
      given_up_.insert(taken.damaged.begin(), taken.damaged.end());
    });
    publisher.commit();
  }

  // The remote has not what its listing, or our memory, said.
  void gone(const Piece& piece) {
    if (!piece.path.empty()) ::unlink(piece.path.c_str());
    for (const db::Location& object : piece.objects) {
      ++result_.absent;
      given_up_.insert(object.digest);
      catalog_.forget(object);
    }
  }

  struct Taken {
    std::uint64_t objects = 0, bytes = 0;
    std::vector<util::Digest> damaged;
  };

  void take_bytes(const Piece& piece, const std::string& bytes, Publisher& publisher, Taken& taken) {
    for (const db::Location& object : piece.objects) {
      const std::size_t at = std::min<std::size_t>(object.offset - piece.offset, bytes.size());
      const std::string_view content = std::string_view(bytes).substr(at, object.size);
      if (util::digest_of(content) != object.digest) {
        taken.damaged.push_back(object.digest);
        continue;
      }
      publisher.add(content);
      ++taken.objects;
      taken.bytes += object.size;
    }
  }

  void take_file(const Piece& piece, Publisher& publisher, Taken& taken) {
    const util::Digest& digest = piece.objects[0].digest;
    const auto content = util::hash_path(piece.path);
    if (!content || content->sha256 != digest.hex()) {
      ::unlink(piece.path.c_str());
      // What was there before may be to blame: the next round begins anew.
      if (!piece.resumed) taken.damaged.push_back(digest);
      return;
    }
    ::chmod(piece.path.c_str(), 0444);
    publisher.add_written(digest, piece.path, piece.size);
    ++taken.objects;
    taken.bytes += piece.size;
  }

  Objects& objects_;
  Remote& remote_;
  RemoteCatalog& catalog_;
  const OnProgress& on_progress_;
  FetchResult result_;
  Progress progress_;
  std::unordered_set<util::Digest, util::DigestHash> given_up_;
};

}  // namespace

FetchResult fetch_objects(Objects& objects, Remote& remote, RemoteCatalog& catalog,
                          const std::vector<Root>& roots, bool dry_run, const OnProgress& on_progress) {
  return Fetcher(objects, remote, catalog, on_progress).fetch(roots, dry_run);
}

}  // namespace mlops::store
