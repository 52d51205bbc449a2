// Requests by libcurl. Only http and https are spoken, whatever a URL says, and redirects are not followed.
#pragma once

#include "util/addresses.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::util {

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
  std::string_view body;             ///< sent from memory, or
  int body_fd = -1;                  ///< from a file
  std::uint64_t body_offset = 0, body_size = 0;
  /// Gets the body of an answer of success part by part; false from it ends the transfer. Without one, it is
  /// in HttpAnswer::body.
  std::function<bool(std::string_view)> sink;

  // For a URL that somebody else has chosen:
  const Networks* reachable = nullptr;  ///< no other private addresses; no proxy of the environment then
  std::string proxy;                    ///< asked in place of looking at addresses
  int limit_s = 0;                      ///< for all of it; 0: only silence is limited
  std::size_t answer_limit = 0;         ///< of the body, which is cut there; 0: an error after 16 MiB
};

struct HttpAnswer {
  int status = 0;                              ///< 0: no whole answer came
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< 16 MiB at most
  std::string error;                           ///< without an answer: why, in words
  bool again = false;                          ///< without an answer: another try may do better
  bool refused = false;                        ///< nothing was asked: the address is a private one
  bool ok() const { return status >= 200 && status < 300; }
};

/// Keeps its connection open between requests. Not thread-safe: each thread has its own.
class HttpClient {
 public:
  /// Throws Error(unreachable) where there is no libcurl.
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  HttpAnswer perform(const HttpRequest& request);

 private:
  void* handle_;
};

/// As "libcurl/7.88.1 OpenSSL/3.0.16 …"; "not installed" if it cannot be opened.
std::string curl_version();

}  // namespace mlops::util
