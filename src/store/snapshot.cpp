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

const char* form_of(const Content& content) {
  return content.directory ? "tree" : content.executable ? "executable" : "file";
}

Snapshots::Snapshots(Objects& objects, int threads)
    : objects_(objects),
      threads_(threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))) {}

std::optional<Content> Snapshots::look(const std::string& path, FileStamp* stamp) {
  return take(path, nullptr, nullptr, stamp);
}

std::optional<Content> Snapshots::keep(const std::string& path, Publisher& publisher) {
  return take(path, &publisher, nullptr);
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

/// A directory on its way to a tree: portion by portion its files are listed, those that the index does not
/// know are read, and all are handed to the builder of the tree in order.
struct Snapshots::Take {
  Take(Snapshots& all, const std::string& path, Publisher* to, const OnEntry& listener)
      : snapshots(all),
        publisher(to),
        on_entry(listener),
        walk(path, all.threads_, [&all](const std::string& p) { return all.recall(p); }),
        builder([this](std::string_view bytes) { return put(bytes); }) {}

  Content run() {
    const DirectoryWalk::Taker taker = {
        [this](ScannedDirectory& directory, ScannedItem& item) { add(directory, item); },
        [this](const ScannedDirectory& empty) {
          builder.add(FileMode::directory, 0, {}, empty.path, {});
          if (on_entry) on_entry({FileMode::directory, 0, {}, empty.path});
        },
        [this](ScannedDirectory& directory) {
          if (directory.to_remember) remember(directory);
          passed.push_back(&directory);
        }};
    do {
      read_unknown(walk.list_more());
    } while (!walk.hand_on(taker));
    const TreeSummary summary = builder.finish();
    return {summary.digest, summary.size, summary.files, true, false};
  }

  // What the index does not know is read, by all threads.
  void read_unknown(const std::vector<ScannedDirectory*>& fresh) {
    std::vector<std::pair<ScannedDirectory*, ScannedItem*>> unknown;
    for (ScannedDirectory* directory : fresh) {
      for (ScannedItem& item : directory->items) {
        if (item.mode != FileMode::directory && !item.known) unknown.emplace_back(directory, &item);
      }
    }
    parallel_for(unknown.size(), snapshots.threads_,
                 [&](std::size_t i) { read(*unknown[i].first, *unknown[i].second); });
  }

  void read(ScannedDirectory& directory, ScannedItem& item) {
    const std::string full = walk.full_path(directory, item);
    if (item.mode == FileMode::link) {
      const std::string target = link_target(full);
      item.digest = publisher ? publisher->add(target) : util::digest_of(target);
      item.stamp.size = target.size();
      return;
    }
    std::optional<ReadFile> seen;
    if (item.stamp.size < small_object) seen = read_unchanged(full, item.stamp, publisher);
    const ReadFile file = seen ? *seen : store::read_file(full, snapshots.objects_, publisher);
    ++snapshots.files_read_;
    item.digest = file.digest;
    item.stamp = file.stamp;
    item.settled = file.settled;
    item.mode = file.executable ? FileMode::executable : FileMode::file;
  }

  void add(ScannedDirectory& directory, ScannedItem& item) {
    if (publisher && is_file(item.mode) && item.known) in_leaf.emplace_back(&directory, &item);
    const std::string_view name = directory.name(item);
    builder.add(item.mode, item.stamp.size, item.digest, directory.path, name);
    if (on_entry) on_entry({item.mode, item.stamp.size, item.digest, directory.path + std::string(name)});
  }

  // A node that the store has vouches for all that is in it; of a new one, what the index knew but the store
  // does not have is read after all.
  util::Digest put(std::string_view bytes) {
    const util::Digest digest = util::digest_of(bytes);
    if (publisher && !snapshots.objects_.vouches_for_all_below(digest)) {
      store_known();
      publisher->add(bytes);
    }
    in_leaf.clear();
    for (ScannedDirectory* directory : passed) walk.release(*directory);
    passed.clear();
    return digest;
  }

  void store_known() {
    // Those in packs at one go, in the order of their index; the others one by one.
    std::sort(in_leaf.begin(), in_leaf.end(),
              [](const auto& a, const auto& b) { return a.second->digest < b.second->digest; });
    std::vector<util::Digest> digests;
    for (const auto& known : in_leaf) digests.push_back(known.second->digest);
    const std::vector<bool> packed = snapshots.objects_.refresh_packed(digests);
    parallel_for(in_leaf.size(), in_leaf.size() < 16 ? 1 : snapshots.threads_, [&](std::size_t i) {
      const auto& [directory, item] = in_leaf[i];
      if (packed[i] || snapshots.objects_.refresh(item->digest)) return;
      const std::string full = walk.full_path(*directory, *item);
      ++snapshots.files_read_;
      if (store::read_file(full, snapshots.objects_, publisher).digest == item->digest) return;
      throw Error(ExitCode::io, "'" + full + "' changed while its directory was read",
                  "try again when nothing writes to it");
    });
  }

  void remember(const ScannedDirectory& directory) {
    std::vector<const ScannedItem*> items;
    for (const ScannedItem& item : directory.items) {
      if (is_file(item.mode) && item.settled) items.push_back(&item);
    }
    std::sort(items.begin(), items.end(),
              [&](const auto* a, const auto* b) { return directory.name(*a) < directory.name(*b); });
    IndexWriter writer;
    for (const ScannedItem* item : items) writer.add({directory.name(*item), item->stamp, item->digest});
    snapshots.remember(walk.full_path(directory), writer.take());
  }

  Snapshots& snapshots;
  Publisher* publisher;
  const OnEntry& on_entry;
  DirectoryWalk walk;
  TreeBuilder builder;
  std::vector<std::pair<ScannedDirectory*, ScannedItem*>> in_leaf;  // known ones since the last node
  std::vector<ScannedDirectory*> passed;                            // since the last node
};

std::optional<Content> Snapshots::take(const std::string& path, Publisher* publisher, const OnEntry& on_entry,
                                       FileStamp* settled) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot read '" + path + "'", errno);
  }
  if (S_ISDIR(st.st_mode)) return Take(*this, path, publisher, on_entry).run();
  if (!S_ISREG(st.st_mode))
    throw Error(ExitCode::io, "cannot digest '" + path + "': it is neither a file nor a directory");
  const std::string row = recall(path);
  IndexReader reader(row);
  const IndexedFile* known = reader.find("");
  const FileStamp stamp = stamp_of(st);
  Content content{{}, stamp.size, 1, false, (st.st_mode & S_IXUSR) != 0};
  if (known && known->stamp == stamp && (!publisher || objects_.refresh(known->digest))) {
    content.digest = known->digest;
    if (settled) *settled = stamp;
    return content;
  }
  const ReadFile read = store::read_file(path, objects_, publisher);
  ++files_read_;
  content = {read.digest, read.stamp.size, 1, false, read.executable};
  IndexWriter writer;
  if (read.settled) writer.add({"", read.stamp, read.digest});
  if (read.settled && settled) *settled = read.stamp;
  remember(path, writer.take());
  return content;
}

void Snapshots::remember(const std::string& path, std::string entries) {
  constexpr std::size_t many = 4 << 20;
  {
    const std::lock_guard lock(mutex_);
    learnt_bytes_ += path.size() + entries.size();
    learnt_.insert_or_assign(path, std::move(entries));
    if (learnt_bytes_ < many) return;
  }
  save();
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
    learnt_bytes_ = 0;
  }
  objects_.remember(rows);
}

}  // namespace mlops::store
