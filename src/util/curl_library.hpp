// libcurl's functions. It is opened on first use: linked plainly, its 25 libraries would cost every start of
// mlops some 7 ms. For util/http_client and util/mail_client, which wrap it.
#pragma once

#define CURL_DISABLE_TYPECHECK  // its macros stand in the way of pointers to functions
#include <curl/curl.h>

#include <signal.h>

#include <type_traits>

namespace mlops::util {

/// A function of the library. Throws Error(unreachable) if it has none of this name.
void* find_in_curl(const char* name);

template <typename Function>
Function* curl_function(const char* name) {
  return reinterpret_cast<Function*>(find_in_curl(name));
}

// The functions of the library that are used, by their own names.
struct Curl {
  decltype(&curl_easy_init) init = curl_function<std::remove_pointer_t<decltype(init)>>("curl_easy_init");
  decltype(&curl_easy_cleanup) cleanup =
      curl_function<std::remove_pointer_t<decltype(cleanup)>>("curl_easy_cleanup");
  decltype(&curl_easy_reset) reset = curl_function<std::remove_pointer_t<decltype(reset)>>("curl_easy_reset");
  decltype(&curl_easy_setopt) set = curl_function<std::remove_pointer_t<decltype(set)>>("curl_easy_setopt");
  decltype(&curl_easy_perform) perform =
      curl_function<std::remove_pointer_t<decltype(perform)>>("curl_easy_perform");
  decltype(&curl_easy_getinfo) info =
      curl_function<std::remove_pointer_t<decltype(info)>>("curl_easy_getinfo");
  decltype(&curl_easy_strerror) words =
      curl_function<std::remove_pointer_t<decltype(words)>>("curl_easy_strerror");
  decltype(&curl_slist_append) append =
      curl_function<std::remove_pointer_t<decltype(append)>>("curl_slist_append");
  decltype(&curl_slist_free_all) free =
      curl_function<std::remove_pointer_t<decltype(free)>>("curl_slist_free_all");
};

/// Throws Error(unreachable) where there is no libcurl.
const Curl& curl();

/// Only these are spoken, whatever a URL says: `names` as "http,https", and the bits of the option of before.
void set_protocols(void* handle, const char* names, long bits);

/// Another try may do better.
bool may_work_again(CURLcode code);

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

}  // namespace mlops::util
