#include "store/directory_remote.hpp"

#include <mlops/error.hpp>

#include "store/directory_scan.hpp"
#include "util/failpoint.hpp"
#include "util/files.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>

namespace mlops::store {

namespace {

namespace fs = std::filesystem;
constexpr std::size_t buffer_size = 1 << 20;

[[noreturn]] void fail(const std::string& root, const std::string& attempt, int error) {
  const char* hint = error == ENOSPC || error == EDQUOT
                         ? "make room there, then repeat the command: it goes on where it stopped"
                     : error == EACCES || error == EPERM || error == EROFS
                         ? "the account that runs mlops needs to read and write there"
                         : "is it mounted, and is there such a directory?";
  throw Error(ExitCode::unreachable,
              "cannot " + attempt + " of the remote '" + root + "': " + std::strerror(error), hint);
}

std::string host_name() {
  char host[256] = "host";
  ::gethostname(host, sizeof host - 1);
  return host;
}

// Removes what processes of this machine that live no more were writing.
void sweep(const std::string& temporaries) {
  std::error_code error;
  const std::string ours = host_name() + ".";
  for (const auto& entry : fs::directory_iterator(temporaries, error)) {
    const std::string name = entry.path().filename().string();
    const pid_t pid = name.starts_with(ours) ? std::atoi(name.c_str() + ours.size()) : 0;
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) ::unlink(entry.path().c_str());
  }
}

// A name of its own for each writer, of whatever machine.
std::string temporary_name() {
  static std::atomic<unsigned> counter = 0;
  return "tmp/" + host_name() + "." + std::to_string(::getpid()) + "." + std::to_string(counter++);
}

}  // namespace

std::vector<RemoteFile> DirectoryRemote::list(const std::vector<std::string>& names) {
  if (!util::is_directory(root_)) {
    if (util::exists(root_)) fail(root_, "look at what there is", ENOTDIR);
    if (!util::is_directory(fs::path(root_).parent_path().string()))
      fail(root_, "find the directory", ENOENT);
    return {};
  }
  std::vector<RemoteFile> files;
  for (const std::string& name : names) {
    const std::string path = root_ + "/" + name;
    if (!name.ends_with('/')) {
      struct stat st {};
      if (::stat(path.c_str(), &st) == 0) {
        files.push_back({name, static_cast<std::uint64_t>(st.st_size)});
      } else if (errno != ENOENT && errno != ENOTDIR) {
        fail(root_, "look at '" + name + "'", errno);
      }
      continue;
    }
    std::error_code error;
    fs::recursive_directory_iterator it(path, error), end;
    if (error && error.value() != ENOENT) fail(root_, "list '" + name + "'", error.value());
    for (; !error && it != end; it.increment(error)) {
      if (!it->is_regular_file(error)) continue;
      files.push_back({name + it->path().string().substr(path.size()), it->file_size(error)});
    }
    if (error && error.value() != ENOENT) fail(root_, "list '" + name + "'", error.value());
  }
  return files;
}

// The last part is made as needed, what it lies in is not: a share that is not mounted must not be filled
// from below.
void DirectoryRemote::check_root() {
  const std::string parent = fs::path(root_).parent_path().string();
  if (!util::is_directory(parent)) fail(root_, "find the directory", ENOENT);
  for (const std::string& part : {root_, root_ + "/tmp"}) {
    if (::mkdir(part.c_str(), 0777) != 0 && errno != EEXIST) fail(root_, "make a directory", errno);
  }
  sweep(root_ + "/tmp");
}

// Copies a file or bytes to a temporary name, syncs it and gives it its own; false if its bytes do not fit.
bool DirectoryRemote::put(const std::string& name, const Upload* file, const std::string& bytes) {
  const std::string temporary = root_ + "/" + temporary_name(), path = root_ + "/" + name;
  util::Fd to(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!to) fail(root_, "write to '" + name + "'", errno);
  const auto give_up = [&](int error) {
    ::unlink(temporary.c_str());
    fail(root_, "write to '" + name + "'", error);
  };
  const auto write = [&](std::string_view part) {
    int error = util::failpoint("remote_write");
    if (error == 0) error = util::write_all(to.get(), part);
    if (error != 0) give_up(error);
  };
  if (file && !file->path.empty()) {
    const util::Fd from = util::open_file(file->path, O_RDONLY);
    ::posix_fadvise(from.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    thread_local std::vector<char> buffer(buffer_size);
    util::Sha256 hash;
    for (ssize_t n = 0; (n = ::read(from.get(), buffer.data(), buffer.size())) != 0;) {
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) break;
      const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
      hash.update(part);
      write(part);
    }
    if (hash.digest() != file->digest) {
      ::unlink(temporary.c_str());
      return false;
    }
  } else {
    write(bytes);
  }
  if (::fsync(to.get()) != 0 || ::close(to.release()) != 0) give_up(errno);
  if (::rename(temporary.c_str(), path.c_str()) == 0) return true;
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error) give_up(error.value());
  if (::rename(temporary.c_str(), path.c_str()) != 0) give_up(errno);
  return true;
}

void DirectoryRemote::upload(std::vector<Upload>& files, const OnDone& on_done) {
  check_root();
  std::mutex mutex;
  parallel_for(files.size(), jobs_, [&](std::size_t i) {
    Upload& file = files[i];
    file.damaged = !put(file.name, &file, file.bytes);
    if (!file.damaged && !file.then_name.empty()) put(file.then_name, nullptr, file.then_bytes);
    const std::lock_guard lock(mutex);
    on_done(i);
  });
}

void DirectoryRemote::download(std::vector<Download>& files, const OnDone& on_done) {
  std::mutex mutex;
  parallel_for(files.size(), jobs_, [&](std::size_t i) {
    Download& file = files[i];
    const util::Fd from(::open((root_ + "/" + file.name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!from && errno != ENOENT && errno != ENOTDIR) fail(root_, "read '" + file.name + "'", errno);
    file.missing = !from;
    std::uint64_t done = file.bytes.size();
    util::Fd to;
    if (!file.path.empty() && from) {
      to = util::open_file(file.path, O_WRONLY | O_CREAT | O_APPEND);
      struct stat st {};
      if (::fstat(to.get(), &st) == 0) done = static_cast<std::uint64_t>(st.st_size);
    }
    thread_local std::vector<char> buffer(buffer_size);
    while (!file.missing && done < file.size) {
      const std::size_t want = std::min<std::uint64_t>(buffer.size(), file.size - done);
      const ssize_t n = ::pread(from.get(), buffer.data(), want, static_cast<off_t>(file.offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(root_, "read '" + file.name + "'", errno);
      if (n == 0) {
        file.missing = true;
        break;
      }
      const std::string_view part(buffer.data(), static_cast<std::size_t>(n));
      if (file.path.empty()) {
        file.bytes += part;
      } else if (const int error = util::write_all(to.get(), part)) {
        throw_errno("cannot write '" + file.path + "'", error);
      }
      done += part.size();
    }
    const std::lock_guard lock(mutex);
    on_done(i);
  });
}

}  // namespace mlops::store
