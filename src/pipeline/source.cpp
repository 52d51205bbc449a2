#include "pipeline/source.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/yaml.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

namespace mlops::pipeline {

namespace {

// More than parse_yaml takes, so that it can say how large the file is.
constexpr std::size_t kMostBytes = 16 * util::kYamlMaxBytes;

// A file that cannot be read is a problem like those in it: `validate` goes on with the next.
[[noreturn]] void refuse(const std::string& path, const std::string& message, const std::string& hint = {}) {
  throw BadFile({{shown_name(path), {}, message, hint}});
}

std::optional<int> descriptor_in(const std::string& path) {
  if (path == "/dev/stdin") return 0;
  for (const std::string_view prefix : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(prefix)) continue;
    int number = 0;
    const char* end = path.data() + path.size();
    const auto [stop, error] = std::from_chars(path.data() + prefix.size(), end, number);
    if (error == std::errc() && stop == end && number >= 0) return number;
  }
  return std::nullopt;
}

// "did you mean 'pipeline.yaml'?" for the name of a file that does not exist.
std::string similar_file(const std::string& path) {
  constexpr int most_looked_at = 1000;
  const std::filesystem::path wanted(path);
  const bool has_folder = wanted.has_parent_path();
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(has_folder ? wanted.parent_path() : std::filesystem::path("."),
                                            error);
  for (int i = 0; !error && entry != std::filesystem::directory_iterator() && i < most_looked_at; ++i) {
    const std::filesystem::path& found = entry->path();
    const std::string extension = found.extension().string();
    const std::string name = (has_folder ? found : found.filename()).string();
    std::error_code unreadable;
    if ((extension == ".yaml" || extension == ".yml") && name != path && entry->is_regular_file(unreadable))
      names.push_back(shown_name(name));
    entry.increment(error);
  }
  std::ranges::sort(names);
  return util::did_you_mean(shown_name(path), names);
}

[[noreturn]] void refuse_missing(const std::string& path, int error) {
  std::error_code unreadable;
  const bool link = std::filesystem::is_symlink(std::filesystem::symlink_status(path, unreadable));
  if (error == ELOOP)
    refuse(path, "is a link that leads back to itself", "link it to the file that is meant");
  if (error != ENOENT && error != ENOTDIR)
    refuse(path, std::string("cannot be read: ") + std::strerror(error));
  if (!link) refuse(path, "there is no such file", similar_file(path));
  const std::string target = std::filesystem::read_symlink(path, unreadable).string();
  refuse(path, "is a link to '" + shown_name(target) + "', which does not exist",
         "link it to the file that is meant");
}

[[noreturn]] void refuse_kind(const std::string& path, mode_t mode) {
  if (S_ISDIR(mode)) {
    const std::filesystem::path directory(path);
    for (const char* name : {"pipeline.yaml", "dvc.yaml"}) {
      if (const std::string inside = (directory / name).string(); util::exists(inside))
        refuse(path, "is a directory, not a pipeline file", "did you mean '" + shown_name(inside) + "'?");
    }
    refuse(
        path, "is a directory, not a pipeline file",
        util::is_directory((directory / ".dvc").string())
            ? "name one dvc.yaml below it; or make one without stages there, which runs all of the project:  "
              "touch " +
                  shown_name((directory / "dvc.yaml").string())
            : "");
  }
  if (S_ISFIFO(mode)) {
    refuse(path, "is a named pipe, not a pipeline file",
           "to read from a pipe, hand it over as standard input and name /dev/stdin");
  }
  refuse(path, S_ISSOCK(mode) ? "is a socket, not a pipeline file" : "is a device, not a pipeline file");
}

std::string read_all(int fd, const std::string& path) {
  std::string text;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("cannot read '" + shown_name(path) + "'", errno);
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > kMostBytes)
      refuse(path, "is larger than " + std::to_string(kMostBytes) + " bytes; at most 1 MiB is read");
  }
}

}  // namespace

std::string read_source(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) refuse_missing(path, errno);
  const auto descriptor = descriptor_in(path);
  if (descriptor && S_ISFIFO(st.st_mode)) {
    // The pipe itself, not opened anew: opening one can wait for a writer that has gone already.
    const util::Fd pipe(::fcntl(*descriptor, F_DUPFD_CLOEXEC, 3));
    if (!pipe) refuse_missing(path, errno);
    return read_all(pipe.get(), path);
  }
  if (!S_ISREG(st.st_mode)) refuse_kind(path, st.st_mode);
  // It may have become something else since: O_NONBLOCK, and another look.
  const util::Fd fd = util::open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (::fstat(fd.get(), &st) != 0) throw_errno("cannot read '" + shown_name(path) + "'", errno);
  if (!S_ISREG(st.st_mode)) refuse_kind(path, st.st_mode);
  return read_all(fd.get(), path);
}

void require_lasting(const std::string& path) {
  const bool descriptor = path.starts_with("/dev/") || path.starts_with("/proc/");
  if (!descriptor && (!util::exists(path) || std::filesystem::is_regular_file(path))) return;
  throw Error(ExitCode::usage,
              "'" + shown_name(path) + "' is no file that can be read again when its run starts",
              "write it to a file");
}

std::string directory_of_source(const std::string& path) {
  const std::filesystem::path file(util::absolute_path(descriptor_in(path) ? "stdin" : path));
  return file.parent_path().string();
}

std::string shown_name(const std::string& path) { return util::escape_controls(util::to_utf8(path)); }

}  // namespace mlops::pipeline
