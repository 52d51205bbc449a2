#include "util/files.hpp"

#include <mlops/error.hpp>

#include "util/failpoint.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

namespace mlops::util {

namespace {

std::string read_all(int fd, const std::string& path, std::size_t limit) {
  std::string text;
  struct stat st {};
  if (::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) throw_errno("cannot read '" + path + "'", EISDIR);
  if (st.st_size > 0 && (limit == 0 || static_cast<std::size_t>(st.st_size) <= limit)) {
    text.reserve(static_cast<std::size_t>(st.st_size));
  }
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw_errno("cannot read '" + path + "'", errno);
    }
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    if (limit && text.size() > limit) {
      throw Error(ExitCode::usage,
                  "cannot read '" + path + "': it is larger than " + std::to_string(limit) + " bytes");
    }
  }
}

}  // namespace

std::string read_file(const std::string& path, std::size_t limit) {
  const Fd fd = open_file(path, O_RDONLY);
  return read_all(fd.get(), path, limit);
}

std::optional<std::string> read_file_if_exists(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot open '" + path + "'", errno);
  }
  return read_all(fd.get(), path, 0);
}

std::optional<std::string> read_regular_file(const std::string& path, std::size_t limit) {
  // O_NONBLOCK: opening a pipe without a writer would wait for one.
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot open '" + path + "'", errno);
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read '" + path + "'", errno);
  if (!S_ISREG(st.st_mode)) throw Error(ExitCode::usage, "cannot read '" + path + "': it is no regular file");
  return read_all(fd.get(), path, limit);
}

Fd open_file(const std::string& path, int flags, unsigned mode) {
  int error = failpoint("open");
  Fd fd;
  if (error == 0) {
    fd.reset(::open(path.c_str(), flags | O_CLOEXEC, mode));
    error = errno;
  }
  if (!fd) {
    const bool create = (flags & O_CREAT) != 0;
    throw_errno(std::string(create ? "cannot create '" : "cannot open '") + path + "'", error);
  }
  return fd;
}

int write_all(int fd, std::string_view bytes) {
  if (const int error = failpoint("write")) return error;
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return 0;
}

void sync_directory(const std::string& directory) {
  const Fd fd = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (::fsync(fd.get()) != 0) throw_errno("cannot sync '" + directory + "'", errno);
}

void write_file_atomically(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  {
    int error = failpoint("open");
    const Fd fd(error == 0 ? ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1);
    if (!fd) throw_errno("cannot create '" + path + "'", error == 0 ? errno : error);
    error = write_all(fd.get(), bytes);
    if (error == 0 && (error = failpoint("sync")) == 0 && ::fsync(fd.get()) != 0) error = errno;
    if (error != 0) {
      ::unlink(temporary.c_str());
      throw_errno("cannot write '" + path + "'", error);
    }
  }
  int error = failpoint("rename");
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    throw_errno("cannot replace '" + path + "'", error);
  }
  const std::string parent = std::filesystem::path(path).parent_path().string();
  sync_directory(parent.empty() ? "." : parent);
}

void write_file(const std::string& path, std::string_view bytes) {
  const Fd fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
  if (const int error = write_all(fd.get(), bytes)) throw_errno("cannot write '" + path + "'", error);
}

void make_directories(const std::string& path, unsigned mode) {
  for (std::size_t i = 1; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') continue;
    const std::string part = path.substr(0, i);
    if (::mkdir(part.c_str(), mode) == 0) continue;
    const int error = errno == EEXIST && !is_directory(part) ? ENOTDIR : errno;
    if (error != EEXIST && !(error == EROFS && exists(part)))
      throw_errno("cannot create directory '" + part + "'", error);
  }
}

bool exists(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0;
}

std::uint64_t file_size(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

bool is_directory(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  std::string text = std::filesystem::absolute(path, error).lexically_normal().string();
  if (error) {
    throw Error(ExitCode::io,
                "cannot tell where '" + path + "' is: the working directory does not exist any more",
                "change to a directory that exists");
  }
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace mlops::util
