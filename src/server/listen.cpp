#include "server/listen.hpp"

#include <mlops/error.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace mlops::server {

namespace {

constexpr int most_waiting = 128;  // connections that nobody has taken yet
constexpr int tries = 20;          // 50 ms each: whoever had the port may be about to end

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return (ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24) == 127;
}

sockaddr_storage parse(const std::string& text, socklen_t& size) {
  const std::size_t colon = text.rfind(':');
  std::string host = colon == text.npos ? "127.0.0.1" : text.substr(0, colon);
  const std::string port_text = colon == text.npos ? text : text.substr(colon + 1);
  if (host == "localhost" || host.empty()) host = "127.0.0.1";
  const bool v6 = host.starts_with('[') && host.ends_with(']');
  if (v6) host = host.substr(1, host.size() - 2);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  sockaddr_storage address{};
  auto& four = reinterpret_cast<sockaddr_in&>(address);
  auto& six = reinterpret_cast<sockaddr_in6&>(address);
  size = v6 ? sizeof six : sizeof four;
  address.ss_family = v6 ? AF_INET6 : AF_INET;
  const bool well = error == std::errc() && end == port_text.data() + port_text.size() && port < 65'536 &&
                    ::inet_pton(address.ss_family, host.c_str(),
                                v6 ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr) == 1;
  if (!well)
    throw Error(ExitCode::usage, "cannot read the address '" + text + "'",
                "such as 127.0.0.1:8080, or [::1]:8080");
  (v6 ? six.sin6_port : four.sin_port) = htons(static_cast<std::uint16_t>(port));
  return address;
}

std::string to_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  const bool v6 = address.ss_family == AF_INET6;
  const auto& four = reinterpret_cast<const sockaddr_in&>(address);
  const auto& six = reinterpret_cast<const sockaddr_in6&>(address);
  ::inet_ntop(address.ss_family, v6 ? static_cast<const void*>(&six.sin6_addr) : &four.sin_addr, text,
              sizeof text);
  const std::string port = std::to_string(ntohs(v6 ? six.sin6_port : four.sin_port));
  return (v6 ? "[" + std::string(text) + "]:" : std::string(text) + ":") + port;
}

}  // namespace

Listening listen_on(const std::string& text, bool anywhere) {
  socklen_t size = 0;
  sockaddr_storage address = parse(text, size);
  if (!anywhere && !is_loopback(address)) {
    throw Error(ExitCode::usage, "'" + text + "' can be reached from other machines, without encryption",
                "listen at 127.0.0.1 and let a proxy with TLS pass requests on; where that is taken care of, "
                "say --insecure-behind-proxy");
  }
  Listening result;
  result.fd.reset(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!result.fd) throw_errno("cannot make a socket", errno);
  const int on = 1;
  ::setsockopt(result.fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int left = tries;
  while (::bind(result.fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
    const int error = errno;
    if (error == EADDRINUSE && --left > 0) {
      ::usleep(50'000);
      continue;
    }
    throw Error(error == EADDRINUSE ? ExitCode::busy : ExitCode::usage,
                "cannot listen at '" + text + "': " + std::strerror(error),
                error == EADDRINUSE ? "another program has the port: choose another one" : "");
  }
  if (::listen(result.fd.get(), most_waiting) != 0) throw_errno("cannot listen at '" + text + "'", errno);
  ::getsockname(result.fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  result.address = to_text(address);
  return result;
}

}  // namespace mlops::server
