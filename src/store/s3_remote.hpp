// A bucket of Amazon S3, or of what speaks its protocol, as a remote. Several connections work side by side;
// what fails for a moment is tried again.
#pragma once

#include "store/remote.hpp"
#include "store/s3_credentials.hpp"
#include "util/http_client.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

class S3Remote : public Remote {
 public:
  S3Remote(const RemoteAddress& address, int jobs);
  ~S3Remote() override;

  std::vector<RemoteFile> list(const std::vector<std::string>& names) override;
  void upload(std::vector<Upload>& files, const OnDone& on_done) override;
  void download(std::vector<Download>& files, const OnDone& on_done) override;

  /// From this size on an object is sent in parts.
  static constexpr std::uint64_t part_size = 16 << 20;

 private:
  struct Request {
    std::string method = "GET";
    std::string name;  ///< on the remote; empty: the bucket itself
    util::NamedValues query;
    util::NamedValues headers;
    std::string_view body;
    int body_fd = -1;
    std::uint64_t body_offset = 0, body_size = 0;
    std::string payload_sha256;  ///< empty: computed from `body`
    std::function<bool(std::string_view)> sink;
    std::function<void()> before_again;  ///< called before each further try
  };
  struct Parts;  // an object that is sent in parts

  /// Tries until there is an answer that another try would not change.
  util::HttpAnswer perform(const Request& request, const std::string& attempt);
  util::HttpAnswer perform_once(const Request& request);
  [[noreturn]] void fail(const std::string& attempt, const util::HttpAnswer& answer) const;
  void list_page(const std::string& name, std::string& continuation, std::vector<RemoteFile>& files);
  void list_rest(const std::string& name, std::string continuation, std::vector<RemoteFile>& files);
  std::vector<std::string> directories_in(const std::string& name);
  void put_bytes(const std::string& name, std::string_view bytes);
  bool put_file(const Upload& file);
  void begin_parts(Parts& parts);
  void send_part(Parts& parts, int number);
  void complete_parts(Parts& parts);
  void get(Download& file);
  std::string key(const std::string& name) const;

  RemoteAddress address_;
  int jobs_;
  S3Settings settings_;
  std::string url_;   // in front of "/key"
  std::string host_;  // as in the Host header
  std::string base_;  // the path in front of "/key"
  std::mutex mutex_;  // of clients_
  std::vector<std::unique_ptr<util::HttpClient>> clients_;
};

}  // namespace mlops::store
