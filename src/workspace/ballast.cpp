#include "workspace/ballast.hpp"

#include "util/fd.hpp"
#include "workspace/layout.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace mlops::workspace {

namespace {

constexpr std::uint64_t most_room = 16u << 20, least_room = 64u << 10, part_of_free = 32;

std::string path_of(const Workspace& workspace) {
  return layout::in(workspace.state_directory(), layout::ballast);
}

}  // namespace

void lay_ballast(const Workspace& workspace) noexcept {
  const std::string path = path_of(workspace);
  if (::access(path.c_str(), F_OK) == 0) return;
  struct statvfs disk {};
  if (::statvfs(workspace.state_directory().c_str(), &disk) != 0) return;
  const std::uint64_t room =
      std::min<std::uint64_t>(std::uint64_t{disk.f_bavail} * disk.f_frsize / part_of_free, most_room);
  if (room < least_room) return;
  const util::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return;  // somebody else is just taking it
  // Not posix_fallocate, which writes zeros where the file system has no such promise.
  if (::fallocate(file.get(), 0, 0, static_cast<off_t>(room)) != 0) ::unlink(path.c_str());
}

bool drop_ballast(const Workspace& workspace) noexcept { return ::unlink(path_of(workspace).c_str()) == 0; }

}  // namespace mlops::workspace
