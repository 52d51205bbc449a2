#include "util/http_client.hpp"

#include <mlops/error.hpp>

#include "util/strings.hpp"

#define CURL_DISABLE_TYPECHECK  // its macros stand in the way of pointers to functions
#include <curl/curl.h>

#include <dlfcn.h>
#include <signal.h>
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

void* open_library() {
  // Kept open: closing it would run its destructors for nothing.
  static void* const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  return library;
}

template <typename Function>
Function* find(const char* name) {
  void* const symbol = ::dlsym(open_library(), name);
  if (!symbol)
    throw Error(ExitCode::unreachable, std::string("libcurl.so.4 has no function '") + name + "'",
                "install libcurl 7.30 or later");
  return reinterpret_cast<Function*>(symbol);
}

// The functions of the library that are used, by their own names.
struct Curl {
  decltype(&curl_easy_init) init = find<std::remove_pointer_t<decltype(init)>>("curl_easy_init");
  decltype(&curl_easy_cleanup) cleanup = find<std::remove_pointer_t<decltype(cleanup)>>("curl_easy_cleanup");
  decltype(&curl_easy_reset) reset = find<std::remove_pointer_t<decltype(reset)>>("curl_easy_reset");
  decltype(&curl_easy_setopt) set = find<std::remove_pointer_t<decltype(set)>>("curl_easy_setopt");
  decltype(&curl_easy_perform) perform = find<std::remove_pointer_t<decltype(perform)>>("curl_easy_perform");
  decltype(&curl_easy_getinfo) info = find<std::remove_pointer_t<decltype(info)>>("curl_easy_getinfo");
  decltype(&curl_easy_strerror) words = find<std::remove_pointer_t<decltype(words)>>("curl_easy_strerror");
  decltype(&curl_slist_append) append = find<std::remove_pointer_t<decltype(append)>>("curl_slist_append");
  decltype(&curl_slist_free_all) free = find<std::remove_pointer_t<decltype(free)>>("curl_slist_free_all");
};

const Curl& curl() {
  static const Curl functions = [] {
    if (!open_library()) {
      throw Error(ExitCode::unreachable, std::string("cannot open libcurl: ") + ::dlerror(),
                  "install it: apt-get install libcurl4");
    }
    find<CURLcode(long)>("curl_global_init")(CURL_GLOBAL_DEFAULT);
    return Curl();
  }();
  return functions;
}

// One request under way; libcurl's callbacks get a pointer to it.
struct Exchange {
  const HttpRequest& request;
  HttpAnswer answer;
  std::uint64_t sent = 0;
  void* handle = nullptr;
  bool stopped = false;  // by the sink

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
  if (exchange.answer.body.size() + size > body_limit) return 0;
  exchange.answer.body.append(data, size);
  return size;
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

bool may_work_again(CURLcode code) {
  switch (static_cast<int>(code)) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return true;
    default: return false;
  }
}

/// Keeps a connection that the other side has closed from ending the process: libraries below libcurl write
/// to it without a word that no signal is wanted.
class NoPipeSignal {
 public:
  NoPipeSignal() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoPipeSignal() {
    const timespec at_once{};
    while (::sigtimedwait(&pipe_, nullptr, &at_once) > 0) {}
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoPipeSignal(const NoPipeSignal&) = delete;
  NoPipeSignal& operator=(const NoPipeSignal&) = delete;

 private:
  sigset_t pipe_{}, before_{};
};

void set_protocols(void* handle) {
  const Curl& c = curl();
#if LIBCURL_VERSION_NUM >= 0x075500
  if (c.set(handle, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK) return;
#endif
  // The library that runs may be older than the one that was built with; the number is that of its old
  // option.
  constexpr auto old_option = static_cast<CURLoption>(CURLOPTTYPE_LONG + 181);
  if (c.set(handle, old_option, 3L) != CURLE_OK)
    throw Error(ExitCode::unreachable, "this libcurl cannot be limited to http and https",
                "install libcurl 7.30 or later");
}

}  // namespace

HttpClient::HttpClient() : handle_(curl().init()) {
  if (!handle_) throw Error(ExitCode::unreachable, "libcurl cannot be started: out of memory");
}

HttpClient::~HttpClient() { curl().cleanup(handle_); }

HttpAnswer HttpClient::perform(const HttpRequest& request) {
  const Curl& c = curl();
  c.reset(handle_);  // options only: the connection stays
  Exchange exchange{.request = request, .answer = {}, .handle = handle_};
  char words[CURL_ERROR_SIZE] = "";
  c.set(handle_, CURLOPT_URL, request.url.c_str());
  c.set(handle_, CURLOPT_ERRORBUFFER, words);
  c.set(handle_, CURLOPT_NOSIGNAL, 1L);
  c.set(handle_, CURLOPT_CONNECTTIMEOUT, connect_limit_s);
  c.set(handle_, CURLOPT_LOW_SPEED_LIMIT, 1L);
  c.set(handle_, CURLOPT_LOW_SPEED_TIME, silence_limit_s);
  c.set(handle_, CURLOPT_BUFFERSIZE, 256L << 10);
  set_protocols(handle_);
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
  if (code == CURLE_OK) {
    answer.status = static_cast<int>(exchange.status());
    return answer;
  }
  answer.error = exchange.stopped ? "the transfer was ended here" : *words ? words : c.words(code);
  answer.again = !exchange.stopped && may_work_again(code);
  return answer;
}

std::string curl_version() {
  if (!open_library()) return "not installed";
  const auto version = reinterpret_cast<char* (*)()>(::dlsym(open_library(), "curl_version"));
  return version ? version() : "unknown";
}

}  // namespace mlops::util
