// An HTTP server for requests that are answered at once: one thread, bounded in connections, sizes and time.
// The one home of Boost.Beast.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace mlops::server {

struct Request {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

struct Reply {
  int status = 200;
  std::string body;  ///< JSON
  std::vector<std::pair<std::string, std::string>> headers = {};
};

struct Limits {
  std::size_t body = 1 << 20;
  std::size_t headers = 16 << 10;
  std::size_t connections = 256;  ///< of more, the one that has kept us waiting longest is cut off
  std::chrono::seconds for_headers{10}, for_body{30}, for_reply{10};  ///< for all of each, however it drips
  int requests = 1'000;                                               ///< over one connection
};

struct Service {
  std::function<Reply(const Request&)> answer;  ///< what it throws becomes an answer of 500 without a word
  std::function<void()> reload;                 ///< at the beginning, and at SIGURG
  std::vector<std::string> names;               ///< besides localhost and 127.0.0.1: what Host may say
  Limits limits = {};
};

/// Serves the listening socket until SIGTERM or SIGINT.
void serve(int listening_fd, const Service& service);

/// Whether a Host header names this machine, or one of `names`, with any port.
bool is_our_name(const std::string& host, const std::vector<std::string>& names);

/// Parses one request as the server does, and answers it: for tests and fuzzing. 0: the bytes are no request
/// that is whole.
int answer_bytes(const std::string& bytes, const Service& service);

}  // namespace mlops::server
