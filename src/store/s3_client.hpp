// Signed requests to one bucket, over several connections that are kept open; what fails for a moment is
// tried again.
#pragma once

#include "store/remote_address.hpp"
#include "store/s3_credentials.hpp"
#include "util/http_client.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::store {

struct S3Request {
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

/// Thread-safe.
class S3Client {
 public:
  explicit S3Client(const RemoteAddress& address);

  /// Tries until there is an answer that another try would not change. Throws Error(unreachable) that begins
  /// with "cannot `attempt`" when there is none.
  util::HttpAnswer perform(const S3Request& request, const std::string& attempt);

  /// Throws Error(unreachable) with the server's own words, and what to do about them.
  [[noreturn]] void fail(const std::string& attempt, const util::HttpAnswer& answer) const;

  /// The key of a file in the bucket; of "", what all keys begin with.
  std::string key(const std::string& name) const;

 private:
  util::HttpAnswer perform_once(const S3Request& request);

  RemoteAddress address_;
  S3Settings settings_;
  std::string url_;                    // in front of "/key"
  std::string host_;                   // as in the Host header
  std::string base_;                   // the path in front of "/key"
  std::atomic<bool> reached_ = false;  // an answer came, whatever it said
  std::mutex mutex_;                   // of clients_
  std::vector<std::unique_ptr<util::HttpClient>> clients_;
};

}  // namespace mlops::store
