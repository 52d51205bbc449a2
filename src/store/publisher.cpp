#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "store/objects.hpp"
#include "store/pack.hpp"
#include "store/tree.hpp"
#include "util/failpoint.hpp"
#include "util/files.hpp"
#include "util/id.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

namespace mlops::store {

namespace {
constexpr std::size_t publish_buffer = 1 << 18;

void drop(const auto& files) {
  for (const auto& file : files) ::unlink(file.temporary.c_str());
}
}  // namespace

Publisher::~Publisher() { drop(loose_); }

Digest Publisher::add(std::string_view bytes) {
  const Digest digest = util::digest_of(bytes);
  write(digest, bytes, false);
  return digest;
}

void Publisher::add_again(std::string_view bytes) { write(util::digest_of(bytes), bytes, true); }

void Publisher::write(const Digest& digest, std::string_view bytes, bool again) {
  if (bytes.size() >= packed_object) {
    if (!again && objects_.refresh(digest)) return;
    if (is_tree(bytes)) {
      std::unique_lock lock(mutex_);
      Batch below = take_batch();
      lock.unlock();
      publish(std::move(below));
    }
    const std::string temporary = objects_.temporary_path();
    try {
      const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0444);
      if (const int error = util::write_all(fd.get(), bytes))
        throw_errno("cannot write to the store in '" + objects_.directory() + "'", error);
    } catch (...) {
      ::unlink(temporary.c_str());
      throw;
    }
    return add_written(digest, temporary, bytes.size());
  }
  Batch full;
  {
    const std::lock_guard lock(mutex_);
    if (!batch_.names.insert(digest).second) return;
    if (batch_.bytes.capacity() < pack_limit && batch_.bytes.size() > pack_limit / 8)
      batch_.bytes.reserve(pack_limit + packed_object);
    batch_.objects.push_back({digest, batch_.bytes.size(), static_cast<std::uint32_t>(bytes.size())});
    batch_.bytes += bytes;
    batch_.again = batch_.again || again;
    if (batch_.bytes.size() < pack_limit) return;
    full = take_batch();
  }
  publish(std::move(full));
}

void Publisher::add_written(const Digest& digest, std::string temporary, std::uint64_t size) {
  bool known = objects_.refresh(digest);
  std::optional<Batch> full;
  if (!known) {
    const std::lock_guard lock(mutex_);
    known = !loose_names_.insert(digest).second;
    if (!known) {
      ++written_;
      bytes_ += size;
      loose_.push_back({digest, temporary});
    }
    // Of what is small there may not be a pack's worth yet.
    if (loose_.size() >= loose_limit) full = take_loose();
  }
  if (known) ::unlink(temporary.c_str());
  if (full) publish(std::move(*full));
}

Publisher::Batch Publisher::take_loose() {
  Batch batch;
  batch.turn = next_turn_++;
  batch.before = std::exchange(loose_, {});
  loose_names_.clear();
  return batch;
}

Publisher::Batch Publisher::take_batch() {
  Batch loose = take_loose();
  Batch batch = std::exchange(batch_, Batch());
  batch.turn = loose.turn;
  batch.before = std::move(loose.before);
  return batch;
}

void Publisher::publish(Batch batch) {
  std::unique_lock lock(mutex_);
  turned_.wait(lock, [&] { return turn_ == batch.turn; });
  if (!failure_) {
    lock.unlock();
    std::exception_ptr failure;
    try {
      publish_in_turn(batch);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    failure_ = failure;
  } else {
    drop(batch.before);
  }
  ++turn_;
  turned_.notify_all();
  if (failure_) std::rethrow_exception(failure_);
}

void Publisher::publish_in_turn(Batch& batch) {
  publish_loose(batch.before);
  if (!batch.again) {
    // In the order of the index, which is also that of the pack's table.
    std::sort(batch.objects.begin(), batch.objects.end(),
              [](const Small& a, const Small& b) { return a.digest < b.digest; });
    std::vector<Digest> digests;
    digests.reserve(batch.objects.size());
    for (const Small& small : batch.objects) digests.push_back(small.digest);
    const std::vector<bool> here = objects_.refresh_packed(digests);
    std::size_t i = 0;
    std::erase_if(batch.objects, [&](const Small&) { return here[i++]; });
  }
  if (batch.objects.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    written_ += batch.objects.size();
    for (const Small& small : batch.objects) bytes_ += small.size;
  }
  // A handful is not worth a pack, which only gc takes apart again.
  if (!packed_one_ && batch.objects.size() < 8) return publish_alone(batch);
  publish_pack(batch);
}

namespace {

void sync(const std::string& path) {
  const util::Fd fd = util::open_file(path, O_RDONLY);
  if (::fsync(fd.get()) != 0) throw_errno("cannot sync '" + path + "'", errno);
}

// One call for many files, or one a file for a few: a small run must not wait for a stranger's gigabytes. The
// few are synced side by side, for which a journal needs hardly longer than for one.
void sync_all(const std::vector<std::string>& paths, const std::string& directory) {
  constexpr std::size_t few = 32;
  if (paths.size() > few) {
    const util::Fd fd = util::open_file(directory, O_RDONLY | O_DIRECTORY);
    if (::syncfs(fd.get()) != 0) throw_errno("cannot sync the store in '" + directory + "'", errno);
    return;
  }
  parallel_for(paths.size(), static_cast<int>(few), [&](std::size_t i) { sync(paths[i]); });
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

void Publisher::publish_pack(const Batch& batch) {
  const std::string temporary = objects_.temporary_path();
  const std::string name = util::new_id() + "-" + std::to_string(::getpid());
  std::vector<db::PackedObject> objects;
  objects.reserve(batch.objects.size());
  std::uint64_t offset = pack_head.size();
  for (const Small& small : batch.objects) {
    objects.push_back({small.digest, "", offset, small.size});
    offset += small.size;
  }
  try {
    const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0444);
    std::string part(pack_head);
    int error = 0;
    for (const Small& small : batch.objects) {
      part.append(batch.bytes, small.offset, small.size);
      if (part.size() < publish_buffer) continue;
      if (error == 0) error = util::write_all(fd.get(), part);
      part.clear();
    }
    part += pack_tail(objects, offset);
    if (error == 0) error = util::write_all(fd.get(), part);
    util::failpoint("pack_written");
    if (error == 0 && ::fsync(fd.get()) != 0) error = errno;
    if (error != 0) throw_errno("cannot write to the store in '" + objects_.directory() + "'", error);
    util::failpoint("pack_synced");
    move_into_place(temporary, objects_.pack_path(name));
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  util::failpoint("pack_renamed");
  sync(objects_.directory() + "/packs");
  const std::lock_guard lock(objects_.mutex_);
  objects_.index_.add_pack(name, objects);
  util::failpoint("pack_indexed");
  packed_one_ = true;
}

void Publisher::publish_alone(Batch& batch) {
  // In the order in which they were added: a node after what is below it.
  std::ranges::sort(batch.objects, {}, &Small::offset);
  std::vector<Loose> loose;
  try {
    for (const Small& small : batch.objects) {
      if (!batch.again && objects_.refresh(small.digest)) continue;
      const std::string temporary = objects_.temporary_path();
      const util::Fd fd = util::open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, 0444);
      loose.push_back({small.digest, temporary});
      const int error =
          util::write_all(fd.get(), std::string_view(batch.bytes).substr(small.offset, small.size));
      if (error != 0) throw_errno("cannot write to the store in '" + objects_.directory() + "'", error);
    }
  } catch (...) {
    drop(loose);
    throw;
  }
  publish_loose(loose);
}

void Publisher::publish_loose(const std::vector<Loose>& loose) {
  if (loose.empty()) return;
  try {
    std::vector<std::string> files;
    std::set<std::string> directories = {objects_.directory() + "/objects"};
    for (const Loose& one : loose) files.push_back(one.temporary);
    util::failpoint("objects_written");
    sync_all(files, objects_.directory());
    util::failpoint("objects_synced");
    for (const Loose& one : loose) {
      const std::string path = objects_.object_path(one.digest);
      move_into_place(one.temporary, path);
      util::failpoint("object_renamed");
      directories.insert(std::filesystem::path(path).parent_path().string());
    }
    util::failpoint("objects_renamed");
    sync_all({directories.begin(), directories.end()}, objects_.directory());
  } catch (...) {
    drop(loose);
    throw;
  }
}

void Publisher::commit() { publish(take_batch()); }

}  // namespace mlops::store
