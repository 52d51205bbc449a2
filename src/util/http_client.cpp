#include "util/http_client.hpp"

#include <dlfcn.h>

namespace mlops::util {

std::string curl_version() {
  void* const library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) return "not installed";
  // Kept open: closing it would run its destructors for nothing.
  const auto version = reinterpret_cast<char* (*)()>(::dlsym(library, "curl_version"));
  return version ? version() : "unknown";
}

}  // namespace mlops::util
