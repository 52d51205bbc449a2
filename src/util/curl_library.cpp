#include "util/curl_library.hpp"

#include <mlops/error.hpp>

#include "util/http_client.hpp"

#include <dlfcn.h>

#include <string>

namespace mlops::util {

namespace {

void* open_library() {
  // Kept open: closing it would run its destructors for nothing.
  static void* const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  return library;
}

}  // namespace

void* find_in_curl(const char* name) {
  void* const symbol = ::dlsym(open_library(), name);
  if (!symbol)
    throw Error(ExitCode::unreachable, std::string("libcurl.so.4 has no function '") + name + "'",
                "install libcurl 7.30 or later");
  return symbol;
}

const Curl& curl() {
  static const Curl functions = [] {
    if (!open_library()) {
      throw Error(ExitCode::unreachable, std::string("cannot open libcurl: ") + ::dlerror(),
                  "install it: apt-get install libcurl4");
    }
    curl_function<CURLcode(long)>("curl_global_init")(CURL_GLOBAL_DEFAULT);
    return Curl();
  }();
  return functions;
}

void set_protocols(void* handle, const char* names, long bits) {
  const Curl& c = curl();
#if LIBCURL_VERSION_NUM >= 0x075500
  if (c.set(handle, CURLOPT_PROTOCOLS_STR, names) == CURLE_OK) return;
#endif
  // The library that runs may be older than the one that was built with; the number is that of its old
  // option.
  constexpr auto old_option = static_cast<CURLoption>(CURLOPTTYPE_LONG + 181);
  if (c.set(handle, old_option, bits) != CURLE_OK)
    throw Error(ExitCode::unreachable, std::string("this libcurl cannot be limited to ") + names,
                "install libcurl 7.30 or later");
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

std::string curl_version() {
  if (!open_library()) return "not installed";
  const auto version = reinterpret_cast<char* (*)()>(::dlsym(open_library(), "curl_version"));
  return version ? version() : "unknown";
}

}  // namespace mlops::util
