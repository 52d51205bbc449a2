// A bucket of Amazon S3, or of what speaks its protocol, as a remote. Several connections work side by side;
// what fails for a moment is tried again.
#pragma once

#include "store/remote.hpp"
#include "store/s3_client.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

class S3Remote : public Remote {
 public:
  S3Remote(const RemoteAddress& address, int jobs) : client_(address), jobs_(jobs) {}

  std::vector<RemoteFile> list(const std::vector<std::string>& names) override;
  void upload(std::vector<Upload>& files, const OnDone& on_done) override;
  void download(std::vector<Download>& files, const OnDone& on_done) override;

  /// From this size on an object is sent in parts.
  static constexpr std::uint64_t part_size = 16 << 20;

 private:
  struct Parts;  // an object that is sent in parts

  void list_page(const std::string& name, std::string& continuation, std::vector<RemoteFile>& files);
  void list_rest(const std::string& name, std::string continuation, std::vector<RemoteFile>& files);
  std::vector<std::string> directories_in(const std::string& name);
  void put_bytes(const std::string& name, std::string_view bytes);
  bool put_file(const Upload& file);
  void begin_parts(Parts& parts);
  void send_part(Parts& parts, int number);
  void complete_parts(Parts& parts);
  void get(Download& file);

  S3Client client_;
  int jobs_;
};

}  // namespace mlops::store
