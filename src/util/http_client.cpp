#include "util/http_client.hpp"

#include <mlops/error.hpp>

#include "util/addresses.hpp"
#include "util/curl_library.hpp"
#include "util/strings.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mlops::util {

namespace {

constexpr long connect_limit_s = 10;
constexpr long silence_limit_s = 60;  // without a byte in either direction
constexpr std::size_t body_limit = 16 << 20;

// One request under way; libcurl's callbacks get a pointer to it.
struct Exchange {
  const HttpRequest& request;
  HttpAnswer answer;
  std::uint64_t sent = 0;
  void* handle = nullptr;
  bool stopped = false;  // by the sink
  bool enough = false;   // of the body
  std::string refused;   // an address, with what it is
  bool reached = false;  // another one was not

  long status() const {
    long code = 0;
    curl().info(handle, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::string_view line(data, size);
  const std::size_t colon = line.find(':');
  // A further answer begins, after "100 Continue" for one.
  if (line.starts_with("HTTP/")) exchange.answer.headers.clear();
  if (colon == line.npos) return size;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  exchange.answer.headers[name] = std::string(trim(line.substr(colon + 1)));
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const long status = exchange.status();
  if (exchange.request.sink && status >= 200 && status < 300) {
    if (exchange.request.sink({data, size})) return size;
    exchange.stopped = true;
    return 0;
  }
  const std::size_t limit = exchange.request.answer_limit;
  if (limit > 0 && exchange.answer.body.size() + size > limit) {
    exchange.answer.body.append(data, limit - exchange.answer.body.size());
    exchange.enough = true;
    return 0;
  }
  if (exchange.answer.body.size() + size > body_limit) return 0;
  exchange.answer.body.append(data, size);
  return size;
}

// The address is what the name was resolved to, in this very attempt: no second look-up can come between.
curl_socket_t on_socket(void* user, curlsocktype, curl_sockaddr* address) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (!exchange.request.reachable->permits(address->addr)) {
    exchange.refused = address_text(address->addr) + " is " + std::string(private_kind(address->addr));
    return CURL_SOCKET_BAD;
  }
  exchange.reached = true;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t on_read(char* data, std::size_t, std::size_t room, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const HttpRequest& request = exchange.request;
  const std::size_t want = std::min<std::uint64_t>(room, request.body_size - exchange.sent);
  ssize_t n = 0;
  do {
    n = ::pread(request.body_fd, data, want, static_cast<off_t>(request.body_offset + exchange.sent));
  } while (n < 0 && errno == EINTR);
  if (n < 0 || (n == 0 && want > 0)) return CURL_READFUNC_ABORT;
  exchange.sent += static_cast<std::uint64_t>(n);
  return static_cast<std::size_t>(n);
}

int on_seek(void* user, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Exchange*>(user)->sent = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

}  // namespace

HttpClient::HttpClient() : handle_(curl().init()) {
  if (!handle_) throw Error(ExitCode::unreachable, "libcurl cannot be started: out of memory");
}

HttpClient::~HttpClient() { curl().cleanup(handle_); }

HttpAnswer HttpClient::perform(const HttpRequest& request) {
  const Curl& c = curl();
  c.reset(handle_);  // options only: the connection stays
  Exchange exchange{.request = request, .answer = {}, .handle = handle_, .refused = {}};
  char words[CURL_ERROR_SIZE] = "";
  c.set(handle_, CURLOPT_URL, request.url.c_str());
  c.set(handle_, CURLOPT_ERRORBUFFER, words);
  c.set(handle_, CURLOPT_NOSIGNAL, 1L);
  c.set(handle_, CURLOPT_CONNECTTIMEOUT, connect_limit_s);
  c.set(handle_, CURLOPT_LOW_SPEED_LIMIT, 1L);
  c.set(handle_, CURLOPT_LOW_SPEED_TIME, silence_limit_s);
  c.set(handle_, CURLOPT_BUFFERSIZE, 256L << 10);
  set_protocols(handle_, "http,https", CURLPROTO_HTTP | CURLPROTO_HTTPS);
  if (request.limit_s > 0) c.set(handle_, CURLOPT_TIMEOUT, static_cast<long>(request.limit_s));
  if (!request.proxy.empty()) {
    c.set(handle_, CURLOPT_PROXY, request.proxy.c_str());
  } else if (request.reachable) {
    c.set(handle_, CURLOPT_PROXY, "");  // one from the environment would be all that the check sees
    c.set(handle_, CURLOPT_OPENSOCKETFUNCTION, &on_socket);
    c.set(handle_, CURLOPT_OPENSOCKETDATA, &exchange);
  }
  if (const char* bundle = std::getenv("AWS_CA_BUNDLE"); bundle && *bundle)
    c.set(handle_, CURLOPT_CAINFO, bundle);
  c.set(handle_, CURLOPT_HEADERFUNCTION, &on_header);
  c.set(handle_, CURLOPT_HEADERDATA, &exchange);
  c.set(handle_, CURLOPT_WRITEFUNCTION, &on_body);
  c.set(handle_, CURLOPT_WRITEDATA, &exchange);
  if (request.method == "HEAD") {
    c.set(handle_, CURLOPT_NOBODY, 1L);
  } else if (request.body_fd >= 0) {
    c.set(handle_, CURLOPT_UPLOAD, 1L);
    c.set(handle_, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
    c.set(handle_, CURLOPT_READFUNCTION, &on_read);
    c.set(handle_, CURLOPT_READDATA, &exchange);
    c.set(handle_, CURLOPT_SEEKFUNCTION, &on_seek);
    c.set(handle_, CURLOPT_SEEKDATA, &exchange);
    c.set(handle_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body_size));
  } else if (request.method != "GET" && request.method != "DELETE") {
    c.set(handle_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    c.set(handle_, CURLOPT_POSTFIELDS, request.body.data() ? request.body.data() : "");
  }
  c.set(handle_, CURLOPT_CUSTOMREQUEST, request.method.c_str());

  // An empty value removes a header that libcurl would add by itself.
  curl_slist* list = c.append(nullptr, "Expect:");
  const bool typed = std::ranges::any_of(request.headers, [](const std::string& header) {
    return ::strncasecmp(header.c_str(), "content-type:", 13) == 0;
  });
  if (!typed) list = c.append(list, "Content-Type:");
  for (const std::string& header : request.headers) list = c.append(list, header.c_str());
  c.set(handle_, CURLOPT_HTTPHEADER, list);

  const CURLcode code = [&] {
    const NoPipeSignal quiet;
    return c.perform(handle_);
  }();
  c.free(list);
  HttpAnswer answer = std::move(exchange.answer);
  if (code == CURLE_OK || exchange.enough) {
    answer.status = static_cast<int>(exchange.status());
    return answer;
  }
  answer.refused = !exchange.refused.empty() && !exchange.reached;
  answer.error = answer.refused     ? exchange.refused
                 : exchange.stopped ? "the transfer was ended here"
                 : *words           ? words
                                    : c.words(code);
  answer.again = !exchange.stopped && may_work_again(code);
  return answer;
}

}  // namespace mlops::util
