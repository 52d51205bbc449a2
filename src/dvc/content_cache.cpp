#include "dvc/content_cache.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "store/file_reader.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/id.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

namespace mlops::dvc {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t buffer_size = 1 << 18;
constexpr std::size_t many = 256;  // files of a directory from which the cache is listed instead
constexpr std::size_t sync_each_up_to = 8;

int threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

// A name beside `path` that nothing else has.
std::string beside(const std::string& path) {
  const fs::path p(path);
  return (p.parent_path() / ("." + p.filename().string().substr(0, 100) + "." + util::new_id() + ".tmp"))
      .string();
}

std::string md5_of_file(const std::string& path, Hash hash) {
  const util::Fd fd = util::open_file(path, O_RDONLY);
  std::vector<char> buffer(buffer_size);
  util::Md5 md5;
  std::string text;
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read '" + path + "'", errno);
    if (n == 0) break;
    const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
    if (hash == Hash::md5) {
      md5.update(part);
    } else {
      text += part;
    }
  }
  if (hash == Hash::md5) return md5.hex();
  // The same rule that named it; a file that is no text has the same digest either way.
  const std::string plain = util::md5(text);
  const std::string other = util::md5(without_carriage_returns(text));
  return fs::path(path).parent_path().filename().string() + fs::path(path).filename().string() == other
             ? other
             : plain;
}

// Copies `from` to the new file `to`, sharing blocks where the file system can. Returns the digest of what
// was copied if `digest`.
std::string copy_file(const std::string& from, const std::string& to, unsigned mode, bool digest, bool sync) {
  const util::Fd in = util::open_file(from, O_RDONLY);
  const util::Fd out = util::open_file(to, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  const bool cloned = ::ioctl(out.get(), FICLONE, in.get()) == 0;
  util::Md5 md5;
  if (!cloned || digest) {
    thread_local std::vector<char> buffer(buffer_size);
    while (true) {
      const ssize_t n = ::read(in.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_errno("cannot read '" + from + "'", errno);
      if (n == 0) break;
      const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
      if (digest) md5.update(part);
      if (cloned) continue;
      if (const int error = util::write_all(out.get(), part)) throw_errno("cannot write '" + to + "'", error);
    }
  }
  if (sync && ::fsync(out.get()) != 0) throw_errno("cannot write '" + to + "'", errno);
  return digest ? md5.hex() : std::string();
}

void remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw Error(ExitCode::io, "cannot remove '" + path + "': " + error.message());
}

// Renames over `path`, whatever lies there.
void put_in_place(const std::string& temporary, const std::string& path) {
  if (::rename(temporary.c_str(), path.c_str()) == 0) return;
  remove_all(path);
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    throw_errno("cannot put '" + path + "' in place", errno);
}

// A list may come from elsewhere: its paths must stay inside their directory.
bool is_safe(const std::string& path) {
  if (path.empty() || path[0] == '/' || path.size() > 4096) return false;
  for (const fs::path& part : fs::path(path)) {
    if (part == ".." || part == "." || part.empty()) return false;
  }
  return true;
}

bool is_md5(const std::string& text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

void set_executable(const std::string& path, bool executable) {
  struct stat st {};
  if (!executable || ::stat(path.c_str(), &st) != 0) return;
  // Whoever may read it may run it.
  ::chmod(path.c_str(), (st.st_mode & 07777) | ((st.st_mode & 0444) >> 2));
}

}  // namespace

ContentCache::ContentCache(std::string directory, std::vector<std::string> link_types)
    : directory_(std::move(directory)), link_types_(std::move(link_types)) {}

std::string ContentCache::path_of(const std::string& md5, Hash hash) const {
  return directory_ + (hash == Hash::md5 ? "/files/md5/" : "/") + md5.substr(0, 2) + "/" + md5.substr(2);
}

void ContentCache::list(Hash hash) {
  const std::string base = directory_ + (hash == Hash::md5 ? "/files/md5" : "");
  auto& names = listed_[static_cast<int>(hash)];
  std::error_code error;
  for (const auto& folder : fs::directory_iterator(base, error)) {
    const std::string head = folder.path().filename().string();
    if (head.size() != 2) continue;
    std::error_code unreadable;
    for (const auto& entry : fs::directory_iterator(folder.path(), unreadable))
      names.insert(head + entry.path().filename().string());
  }
  is_listed_[static_cast<int>(hash)] = true;
}

bool ContentCache::has_file(const std::string& md5, Hash hash) {
  const std::string path = path_of(md5, hash);
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
  if ((st.st_mode & 07777) == 0444) return true;
  if (md5_of_file(path, hash) == md5.substr(0, 32)) {
    ::chmod(path.c_str(), 0444);
    return true;
  }
  ::unlink(path.c_str());
  return false;
}

bool ContentCache::has(const Wanted& wanted) {
  if (wanted.md5.size() < 32) return false;
  if (!wanted.md5.ends_with(".dir")) return has_file(wanted.md5, wanted.hash);
  const auto files = tree(wanted);
  if (!files) return false;
  auto& names = listed_[static_cast<int>(wanted.hash)];
  if (files->size() > many && !is_listed_[static_cast<int>(wanted.hash)]) list(wanted.hash);
  return std::ranges::all_of(*files, [&](const TreeFile& file) {
    return names.contains(file.md5) || has_file(file.md5, wanted.hash);
  });
}

std::optional<std::vector<TreeFile>> ContentCache::tree(const Wanted& wanted) {
  const std::string path = path_of(wanted.md5, wanted.hash);
  const auto text = util::read_file_if_exists(path);
  if (!text) return std::nullopt;
  const nlohmann::json list = nlohmann::json::parse(*text, nullptr, false);
  bool good = list.is_array() && util::md5(*text) + ".dir" == wanted.md5;
  std::vector<TreeFile> files;
  for (const nlohmann::json& entry : list) {
    if (!good) break;
    TreeFile file;
    good = entry.is_object() && entry.contains("relpath") && entry["relpath"].is_string();
    if (!good) break;
    file.path = entry["relpath"].get<std::string>();
    const auto md5 = entry.find("md5");
    if (md5 != entry.end() && md5->is_string()) file.md5 = md5->get<std::string>();
    good = is_safe(file.path) && is_md5(file.md5);
    files.push_back(std::move(file));
  }
  if (good) return files;
  ::unlink(path.c_str());
  return std::nullopt;
}

void ContentCache::add(const std::string& path, const Content& content) {
  struct Missing {
    std::string md5, from, temporary;
    store::FileStamp stamp;
  };
  std::vector<Missing> missing;
  std::set<std::string> seen;
  const auto want = [&](const std::string& md5, const std::string& from, const store::FileStamp& stamp) {
    if (seen.insert(md5).second && !has_file(md5, Hash::md5)) missing.push_back({md5, from, {}, stamp});
  };
  if (content.directory) {
    for (const TreeFile& file : content.tree) want(file.md5, file.full, file.stamp);
  } else {
    want(content.md5, path, content.stamp);
  }
  const bool tree = content.directory && !has_file(content.md5, Hash::md5);
  if (missing.empty() && !tree) return;
  const std::string base = directory_ + "/files/md5";
  util::make_directories(base, 0777);
  const bool sync_each = missing.size() <= sync_each_up_to;
  try {
    store::parallel_for(missing.size(), threads(), [&](std::size_t i) {
      Missing& file = missing[i];
      file.temporary = base + "/" + util::new_id() + std::to_string(i) + ".tmp";
      copy_file(file.from, file.temporary, 0444, false, sync_each);
      struct stat st {};
      const bool same = ::stat(file.from.c_str(), &st) == 0 && store::stamp_of(st) == file.stamp;
      if (!same) {
        throw Error(ExitCode::io, "cannot keep '" + file.from + "': it has changed since its stage ended",
                    "see which process writes to it, for example with `fuser -v " + file.from + "`");
      }
    });
    if (!sync_each) {
      // One call for all: a sync per file would rule the time of a directory of many small files.
      const util::Fd fd = util::open_file(base, O_RDONLY | O_DIRECTORY);
      if (::syncfs(fd.get()) != 0) throw_errno("cannot write to '" + base + "'", errno);
    }
    std::set<std::string> folders;
    const auto name_it = [&](const std::string& temporary, const std::string& md5) {
      const std::string to = path_of(md5, Hash::md5);
      if (folders.insert(md5.substr(0, 2)).second)
        util::make_directories(fs::path(to).parent_path().string(), 0777);
      ::chmod(temporary.c_str(), 0444);
      if (::rename(temporary.c_str(), to.c_str()) != 0) throw_errno("cannot write '" + to + "'", errno);
    };
    for (Missing& file : missing) {
      name_it(file.temporary, file.md5);
      file.temporary.clear();
    }
    if (tree) {
      const std::string temporary = base + "/" + util::new_id() + ".tmp";
      util::write_file_atomically(temporary, tree_text(content.tree));
      name_it(temporary, content.md5);
    }
  } catch (...) {
    for (const Missing& file : missing) {
      if (!file.temporary.empty()) ::unlink(file.temporary.c_str());
    }
    throw;
  }
}

// Writes a content to `path` by the first way that works; its bytes are compared with its name.
bool ContentCache::place(const std::string& md5, Hash hash, bool executable, const std::string& path,
                         bool copy) {
  const std::string object = path_of(md5, hash);
  if (!util::exists(object)) return false;
  const std::string temporary = beside(path);
  const auto damaged = [&] {
    ::unlink(temporary.c_str());
    ::unlink(object.c_str());
    return false;
  };
  for (const std::string& type : link_types_) {
    if (copy || (type != "hardlink" && type != "symlink")) continue;
    if (md5_of_file(object, hash) != md5) return damaged();
    const int made = type == "hardlink" ? ::link(object.c_str(), temporary.c_str())
                                        : ::symlink(object.c_str(), temporary.c_str());
    if (made != 0) continue;
    put_in_place(temporary, path);
    return true;
  }
  std::string found = copy_file(object, temporary, 0666, true, false);
  if (found != md5 && hash == Hash::md5_dos2unix) found = md5_of_file(object, hash);
  if (found != md5) return damaged();
  set_executable(temporary, executable);
  put_in_place(temporary, path);
  return true;
}

void ContentCache::link(const std::string& path, const Content& content) {
  const std::string first = link_types_.empty() ? "copy" : link_types_[0];
  const bool links = first == "hardlink" || first == "symlink";
  const auto settle = [&](const std::string& md5, bool executable, const std::string& file) {
    if (!links && !fs::is_symlink(fs::symlink_status(file))) return;
    place(md5, Hash::md5, executable, file, false);
  };
  if (!content.directory) return settle(content.md5, content.executable, path);
  for (const TreeFile& file : content.tree) settle(file.md5, false, path + "/" + file.path);
}

bool ContentCache::check_out(const Wanted& wanted, const std::string& path, const std::optional<Content>& now,
                             bool copy) {
  if (wanted.md5.size() < 32) return false;
  const std::string parent = fs::path(path).parent_path().string();
  util::make_directories(parent, 0777);
  if (!wanted.md5.ends_with(".dir")) return place(wanted.md5, wanted.hash, wanted.executable, path, copy);
  const auto files = tree(wanted);
  if (!files) return false;
  for (const TreeFile& file : *files) {
    if (!util::exists(path_of(file.md5, wanted.hash))) return false;
  }
  std::map<std::string, std::string> here;
  if (now && now->directory) {
    for (const TreeFile& file : now->tree) here.emplace(file.path, file.md5);
  } else {
    remove_all(path);
  }
  util::make_directories(path, 0777);
  std::vector<const TreeFile*> wrong;
  for (const TreeFile& file : *files) {
    const auto found = here.find(file.path);
    if (found == here.end() || found->second != file.md5) wrong.push_back(&file);
    if (found != here.end()) here.erase(found);
  }
  for (const auto& [extra, md5] : here) remove_all(path + "/" + extra);
  std::set<std::string> folders;
  for (const TreeFile* file : wrong) {
    const std::string folder = fs::path(path + "/" + file->path).parent_path().string();
    if (folders.insert(folder).second) util::make_directories(folder, 0777);
  }
  std::atomic<bool> whole = true;
  store::parallel_for(wrong.size(), threads(), [&](std::size_t i) {
    if (whole && !place(wrong[i]->md5, wanted.hash, false, path + "/" + wrong[i]->path, copy)) whole = false;
  });
  return whole;
}

void unprotect(const std::string& path, const std::string& cache) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) != 0) return;
  if (S_ISDIR(st.st_mode)) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (!entry.is_directory() || entry.is_symlink()) files.push_back(entry.path().string());
    }
    for (const std::string& file : files) unprotect(file, cache);
    return;
  }
  if (S_ISLNK(st.st_mode) && !cache.empty()) {
    std::error_code error;
    const fs::path link = path;  // may lead nowhere
    const std::string target =
        fs::weakly_canonical(link.parent_path() / fs::read_symlink(link, error), error).string();
    if (!target.starts_with(fs::weakly_canonical(cache, error).string() + "/")) return;
    // What is gone from the cache must not come back to it by way of the link.
    if (!util::exists(path)) fs::remove(path, error);
  }
  const bool linked = S_ISLNK(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink > 1);
  if (linked && util::exists(path)) {
    const std::string temporary = beside(path);
    copy_file(path, temporary, 0666, false, false);
    set_executable(temporary, (st.st_mode & 0111) != 0 && S_ISREG(st.st_mode));
    put_in_place(temporary, path);
  } else if (S_ISREG(st.st_mode) && (st.st_mode & 0200) == 0) {
    ::chmod(path.c_str(), st.st_mode | 0200);
  }
}

}  // namespace mlops::dvc
