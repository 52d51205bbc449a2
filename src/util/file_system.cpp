#include "util/file_system.hpp"

#include <linux/magic.h>
#include <sys/statfs.h>

namespace mlops::util {

std::string network_file_system(const std::string& path) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0) return {};
  constexpr unsigned long cifs = 0xFF534D42;  // not in linux/magic.h of older systems
  constexpr unsigned long smb2 = 0xFE534D42;
  switch (static_cast<unsigned long>(fs.f_type)) {
    case NFS_SUPER_MAGIC: return "NFS";
    case SMB_SUPER_MAGIC:
    case cifs:
    case smb2: return "SMB";
    case 0x65735546: return "FUSE";  // FUSE_SUPER_MAGIC, likewise
    default: return {};
  }
}

}  // namespace mlops::util
