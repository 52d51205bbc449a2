#include "dvc/hasher.hpp"

#include <mlops/error.hpp>

#include "pipeline/dvc/ignore.hpp"
#include "store/directory_scan.hpp"
#include "store/file_index.hpp"
#include "store/file_reader.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace mlops::dvc {

namespace {

constexpr std::size_t hash_size = 1 << 18;
constexpr std::size_t sniffed = 512;

// Digests in the index have room for SHA-256: an MD5 fills the first half.
util::Digest packed(const std::string& md5) { return *util::Digest::from_hex(md5 + std::string(32, '0')); }
std::string unpacked(const util::Digest& digest) { return digest.hex().substr(0, 32); }

const char* prefix_of(Hash hash) { return hash == Hash::md5 ? "md5:" : "md5-dos2unix:"; }

bool looks_like_text(std::string_view begin) {
  if (begin.empty()) return true;
  std::size_t odd = 0;
  for (const char c : begin) {
    if (c == 0) return false;
    const auto u = static_cast<unsigned char>(c);
    const bool text =
        (u >= 32 && u < 127) || std::string_view("\n\r\t\f\b").find(c) != std::string_view::npos;
    if (!text) ++odd;
  }
  return static_cast<double>(odd) / static_cast<double>(begin.size()) <= 0.30;
}

struct Read {
  std::string md5;
  store::FileStamp stamp;
  bool settled = true;
};

std::string digest_file(int fd, const std::string& path, Hash hash, const store::Objects& objects) {
  thread_local std::vector<char> buffer(hash_size);
  util::Md5 md5;
  std::string text;  // of a file whose line ends count
  bool first = true, dos = false;
  while (true) {
    if (objects.stopped()) throw Error(ExitCode::interrupted, "stopped while reading '" + path + "'");
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read '" + path + "'", errno);
    if (n == 0) break;
    const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
    if (first) dos = hash == Hash::md5_dos2unix && looks_like_text(part.substr(0, sniffed));
    first = false;
    if (dos) {
      text += part;
    } else {
      md5.update(part);
    }
  }
  if (dos) md5.update(without_carriage_returns(text));
  return md5.hex();
}

Read read_md5(const std::string& path, Hash hash, const store::Objects& objects) {
  for (int tries = 0; tries < 12; ++tries) {
    const std::int64_t now = store::coarse_clock_ns();
    const util::Fd fd = util::open_file(path, O_RDONLY | O_NONBLOCK);
    struct stat before {
    }, after{};
    if (::fstat(fd.get(), &before) != 0) throw_errno("cannot read '" + path + "'", errno);
    if (!S_ISREG(before.st_mode))
      throw Error(ExitCode::io, "cannot digest '" + path + "': it is neither a file nor a directory");
    Read result;
    result.stamp = store::stamp_of(before);
    result.settled = result.stamp.ctime < now;
    result.md5 = digest_file(fd.get(), path, hash, objects);
    if (::fstat(fd.get(), &after) != 0) throw_errno("cannot read '" + path + "'", errno);
    if (store::stamp_of(after) == result.stamp) return result;
  }
  throw Error(ExitCode::io, "cannot digest '" + path + "': it changes while it is read",
              "see which process writes to it, for example with `fuser -v " + path + "`");
}

bool is_file(store::FileMode mode) {
  return mode == store::FileMode::file || mode == store::FileMode::executable;
}

}  // namespace

std::string without_carriage_returns(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\r' || i + 1 == bytes.size() || bytes[i + 1] != '\n') out += bytes[i];
  }
  return out;
}

std::string tree_text(const std::vector<TreeFile>& files) {
  std::string text = "[";
  for (const TreeFile& file : files) {
    if (text.size() > 1) text += ", ";
    text += "{\"md5\": \"" + file.md5 + "\", \"relpath\": " +
            nlohmann::json(file.path).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "}";
  }
  return text + "]";
}

Hasher::Hasher(store::Objects& objects, std::string root, int threads)
    : objects_(objects),
      root_(std::move(root)),
      threads_(threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))) {}

std::optional<Content> Hasher::look(const std::string& path, Hash hash, bool with_tree) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot read '" + path + "'", errno);
  }
  if (S_ISDIR(st.st_mode)) return look_at_directory(path, hash, with_tree);
  const std::string key = prefix_of(hash) + path;
  const std::string row = recall(key);
  store::IndexReader reader(row);
  const store::IndexedFile* known = reader.find("");
  Content content;
  content.stamp = store::stamp_of(st);
  content.size = content.stamp.size;
  content.executable = (st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0;
  if (known && known->stamp == content.stamp) {
    content.md5 = unpacked(known->digest);
    return content;
  }
  const Read read = read_md5(path, hash, objects_);
  content.md5 = read.md5;
  content.stamp = read.stamp;
  content.size = read.stamp.size;
  store::IndexWriter writer;
  if (read.settled) writer.add({"", read.stamp, packed(read.md5)});
  remember(key, writer.take());
  return content;
}

Content Hasher::look_at_directory(const std::string& path, Hash hash, bool with_tree) {
  // What DVC never looks at, and what .dvcignore files leave out, no directory counts.
  const util::IgnoreRules rules = pipeline::dvc::ignore_rules(root_, path);
  const std::string below = path.starts_with(root_ + "/") ? path.substr(root_.size() + 1) + "/" : "";
  store::DirectoryWalk walk(
      path, threads_, [&](const std::string& directory) { return recall(prefix_of(hash) + directory); });
  struct Item {
    store::ScannedDirectory* directory;
    store::ScannedItem* item;
    std::string path;
    std::string md5;
  };
  std::vector<Item> items;
  std::vector<store::ScannedDirectory*> directories;
  const store::DirectoryWalk::Taker taker = {
      [&](store::ScannedDirectory& directory, store::ScannedItem& item) {
        std::string relative = directory.path + std::string(directory.name(item));
        if (directory.name(item) == ".dvcignore")
          throw Error(ExitCode::io, "'" + path + "/" + relative + "' lies in a directory that DVC tracks",
                      "move it out: a .dvcignore works only outside of deps and outs");
        if (rules.ignores(below + relative, false)) return;
        items.push_back({&directory, &item, std::move(relative), {}});
      },
      [](const store::ScannedDirectory&) {},
      [&](store::ScannedDirectory& directory) { directories.push_back(&directory); }};
  do {
    walk.list_more();
  } while (!walk.hand_on(taker));
  std::vector<char> absent(items.size());
  store::parallel_for(items.size(), threads_, [&](std::size_t i) {
    auto& [directory, item, relative, md5] = items[i];
    if (item->known) {
      md5 = unpacked(item->digest);
      return;
    }
    const std::string full = path + "/" + relative;
    if (item->mode == store::FileMode::link) {
      struct stat st {};
      if (::stat(full.c_str(), &st) != 0)
        throw Error(ExitCode::io, "cannot digest '" + full + "': it is a link to nothing");
      // A directory behind a link is not looked into, as os.walk has it.
      if (S_ISDIR(st.st_mode)) {
        absent[i] = 1;
        return;
      }
    }
    const Read read = read_md5(full, hash, objects_);
    md5 = read.md5;
    item->stamp = read.stamp;
    item->settled = read.settled;
    item->digest = packed(md5);
  });
  Content content;
  content.directory = true;
  content.files = 0;
  std::vector<TreeFile> tree;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (absent[i]) continue;
    ++content.files;
    content.size += items[i].item->stamp.size;
    tree.push_back(
        {items[i].path, items[i].md5, with_tree ? path + "/" + items[i].path : "", items[i].item->stamp});
  }
  content.md5 = util::md5(tree_text(tree)) + ".dir";
  for (const store::ScannedDirectory* directory : directories) {
    if (!directory->to_remember) continue;
    std::vector<const store::ScannedItem*> files;
    for (const store::ScannedItem& item : directory->items) {
      if (is_file(item.mode) && item.settled) files.push_back(&item);
    }
    std::ranges::sort(files, {}, [&](const store::ScannedItem* item) { return directory->name(*item); });
    store::IndexWriter writer;
    for (const auto* item : files) writer.add({directory->name(*item), item->stamp, item->digest});
    remember(prefix_of(hash) + walk.full_path(*directory), writer.take());
  }
  if (with_tree) content.tree = std::move(tree);
  return content;
}

std::string Hasher::recall(const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = learnt_.find(key); it != learnt_.end()) return it->second;
  }
  return objects_.recall(key);
}

void Hasher::remember(const std::string& key, std::string row) {
  const std::lock_guard lock(mutex_);
  learnt_.insert_or_assign(key, std::move(row));
}

void Hasher::save() {
  std::vector<std::pair<std::string, std::string>> rows;
  {
    const std::lock_guard lock(mutex_);
    rows.assign(std::make_move_iterator(learnt_.begin()), std::make_move_iterator(learnt_.end()));
    learnt_.clear();
  }
  objects_.remember(rows);
}

}  // namespace mlops::dvc
