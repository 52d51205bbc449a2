// A directory of this machine or of a mounted share as a remote.
#pragma once

#include "store/remote.hpp"

#include <string>
#include <vector>

namespace mlops::store {

class DirectoryRemote : public Remote {
 public:
  DirectoryRemote(const RemoteAddress& address, int jobs) : root_(address.path), jobs_(jobs) {}

  std::vector<RemoteFile> list(const std::vector<std::string>& names) override;
  void upload(std::vector<Upload>& files, const OnDone& on_done) override;
  void download(std::vector<Download>& files, const OnDone& on_done) override;

 private:
  void check_root();
  bool put(const std::string& name, const Upload* file, const std::string& bytes);

  std::string root_;
  int jobs_;
};

}  // namespace mlops::store
