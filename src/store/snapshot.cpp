#include "store/snapshot.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "store/file_index.hpp"
#include "store/file_reader.hpp"

#include <climits>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

namespace mlops::store {

namespace {

std::string link_target(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
  if (size < 0) throw_errno("cannot read the link '" + path + "'", errno);
  return std::string(target, static_cast<std::size_t>(size));
}

bool is_file(FileMode mode) { return mode == FileMode::file || mode == FileMode::executable; }

}  // namespace

Snapshots::Snapshots(Objects& objects, int threads)
    : objects_(objects),
      threads_(threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))) {}

std::optional<Content> Snapshots::look(const std::string& path) { return take(path, nullptr); }

std::optional<Content> Snapshots::keep(const std::string& path, Publisher& publisher) {
  return take(path, &publisher);
}

std::optional<Content> Snapshots::look_into(const std::string& path, const OnEntry& on_entry) {
  return take(path, nullptr, on_entry);
}

std::optional<std::pair<Content, util::Digest>> Snapshots::list(const std::string& path,
                                                                Publisher& publisher) {
  TreeBuilder builder([&](std::string_view bytes) { return publisher.add(bytes); }, TreeKind::list);
  const auto content = take(path, nullptr, [&](const TreeEntry& entry) { builder.add(entry); });
  if (!content || !content->directory) return std::nullopt;
  return std::pair(*content, builder.finish().digest);
}

std::optional<Content> Snapshots::take(const std::string& path, Publisher* publisher,
                                       const OnEntry& on_entry) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot read '" + path + "'", errno);
  }
  if (S_ISDIR(st.st_mode)) return take_directory(path, publisher, on_entry);
  if (!S_ISREG(st.st_mode))
    throw Error(ExitCode::io, "cannot digest '" + path + "': it is neither a file nor a directory");
  const std::string row = recall(path);
  IndexReader reader(row);
  const IndexedFile* known = reader.find("");
  const FileStamp stamp = stamp_of(st);
  Content content{{}, stamp.size, 1, false, (st.st_mode & S_IXUSR) != 0};
  if (known && known->stamp == stamp && (!publisher || objects_.has(known->digest))) {
    content.digest = known->digest;
    return content;
  }
  const ReadFile read = read_file(path, objects_, publisher);
  ++files_read_;
  content = {read.digest, read.stamp.size, 1, false, read.executable};
  IndexWriter writer;
  if (read.settled) writer.add({"", read.stamp, read.digest});
  remember(path, writer.take());
  return content;
}

Content Snapshots::take_directory(const std::string& path, Publisher* publisher, const OnEntry& on_entry) {
  DirectoryScan scan = scan_directory(path, threads_, [this](const std::string& p) { return recall(p); });

  // What the index does not know is read, by all threads.
  struct Unknown {
    ScannedDirectory* directory;
    ScannedItem* item;
  };
  std::vector<Unknown> unknown;
  for (const auto& directory : scan.directories) {
    for (ScannedItem& item : directory->items) {
      if (item.mode != FileMode::directory && !item.known) unknown.push_back({directory.get(), &item});
    }
  }
  parallel_for(unknown.size(), threads_, [&](std::size_t i) {
    auto& [directory, item] = unknown[i];
    const std::string full = scan.full_path(*directory, *item);
    if (item->mode == FileMode::link) {
      const std::string target = link_target(full);
      item->digest = publisher ? publisher->add(target) : util::digest_of(target);
      item->stamp.size = target.size();
      return;
    }
    const ReadFile read = read_file(full, objects_, publisher);
    ++files_read_;
    item->digest = read.digest;
    item->stamp = read.stamp;
    item->settled = read.settled;
    item->mode = read.executable ? FileMode::executable : FileMode::file;
  });

  // Entries in order become the nodes of the tree. A node that the store has vouches for all that is in it;
  // of a new one, what the index knew but the store does not have is read after all.
  std::vector<std::pair<ScannedDirectory*, ScannedItem*>> in_leaf;
  const auto put = [&](std::string_view bytes) {
    const util::Digest digest = util::digest_of(bytes);
    if (!publisher || objects_.has(digest)) {
      in_leaf.clear();
      return digest;
    }
    for (const auto& [directory, item] : in_leaf) {
      if (!item->known || objects_.has(item->digest)) continue;
      const std::string full = scan.full_path(*directory, *item);
      ++files_read_;
      if (read_file(full, objects_, publisher).digest != item->digest) {
        throw Error(ExitCode::io, "'" + full + "' changed while its directory was read",
                    "try again when nothing writes to it");
      }
    }
    in_leaf.clear();
    return publisher->add(bytes);
  };
  TreeBuilder builder(put);
  scan.for_each(
      [&](ScannedDirectory& directory, ScannedItem& item) {
        if (is_file(item.mode)) in_leaf.emplace_back(&directory, &item);
        const TreeEntry entry{item.mode, item.stamp.size, item.digest,
                              directory.path + std::string(directory.name(item))};
        builder.add(entry);
        if (on_entry) on_entry(entry);
      },
      [&](const ScannedDirectory& empty) {
        const TreeEntry entry{FileMode::directory, 0, {}, empty.path};
        builder.add(entry);
        if (on_entry) on_entry(entry);
      });
  const TreeSummary summary = builder.finish();

  for (const auto& directory : scan.directories) {
    if (!directory->to_remember) continue;
    std::vector<const ScannedItem*> items;
    for (const ScannedItem& item : directory->items) {
      if (is_file(item.mode) && item.settled) items.push_back(&item);
    }
    std::sort(items.begin(), items.end(),
              [&](const auto* a, const auto* b) { return directory->name(*a) < directory->name(*b); });
    IndexWriter writer;
    for (const ScannedItem* item : items) writer.add({directory->name(*item), item->stamp, item->digest});
    remember(scan.full_path(*directory), writer.take());
  }
  return {summary.digest, summary.size, summary.files, true, false};
}

void Snapshots::remember(const std::string& path, std::string entries) {
  const std::lock_guard lock(mutex_);
  learnt_.insert_or_assign(path, std::move(entries));
}

std::string Snapshots::recall(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = learnt_.find(path); it != learnt_.end()) return it->second;
    if (const auto it = expected_.find(path); it != expected_.end()) return it->second;
  }
  return objects_.recall(path);
}

void Snapshots::expect(std::vector<std::string> paths) {
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  const std::lock_guard lock(mutex_);
  objects_.recall_all(paths, [&](const std::string& path, std::string row) {
    constexpr std::size_t small = 4096;  // directories may be large, and are worth a query of their own
    if (row.size() <= small) expected_.insert_or_assign(path, std::move(row));
  });
}

void Snapshots::save() {
  std::vector<std::pair<std::string, std::string>> rows;
  {
    const std::lock_guard lock(mutex_);
    rows.assign(std::make_move_iterator(learnt_.begin()), std::make_move_iterator(learnt_.end()));
    learnt_.clear();
  }
  objects_.remember(rows);
}

}  // namespace mlops::store
