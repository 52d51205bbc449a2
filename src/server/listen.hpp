// The address at which the daemon is reached by HTTP.
#pragma once

#include "util/fd.hpp"

#include <string>

namespace mlops::server {

struct Listening {
  util::Fd fd;
  std::string address;  ///< "127.0.0.1:8080", with the port that was got where 0 was asked for
};

/// `address` is HOST:PORT, [IPv6]:PORT or PORT alone. Only this machine's own (loopback) addresses, unless
/// `anywhere`. Throws Error(usage), or Error(busy) when the port is taken.
Listening listen_on(const std::string& address, bool anywhere);

}  // namespace mlops::server
