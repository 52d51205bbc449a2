#include "store/remote.hpp"

#include "store/directory_remote.hpp"
#include "store/s3_remote.hpp"
#include "store/sftp_remote.hpp"

namespace mlops::store {

std::unique_ptr<Remote> open_remote(const RemoteAddress& address, int jobs) {
  switch (address.kind) {
    case RemoteKind::directory: return std::make_unique<DirectoryRemote>(address, jobs > 0 ? jobs : 4);
    case RemoteKind::ssh: return std::make_unique<SftpRemote>(address);
    case RemoteKind::s3: return std::make_unique<S3Remote>(address, jobs > 0 ? jobs : 8);
  }
  return nullptr;
}

std::string object_name(const util::Digest& digest) {
  const std::string hex = digest.hex();
  return "objects/" + hex.substr(0, 2) + "/" + hex.substr(2);
}

std::string run_name(const std::string& run_id) { return "runs/" + run_id + ".json"; }

}  // namespace mlops::store
