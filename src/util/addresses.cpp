#include "util/addresses.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace mlops::util {

namespace {

using Bytes = std::array<unsigned char, 16>;

struct Range {
  const char* begin;
  std::size_t bits;  // of an IPv4 address, 96 more
  std::string_view kind;
};

constexpr Range private_ranges[] = {
    {"0.0.0.0", 96 + 8, "no address of a host"},
    {"10.0.0.0", 96 + 8, "a private address"},
    {"100.64.0.0", 96 + 10, "a private address of a provider"},
    {"127.0.0.0", 96 + 8, "a loopback address"},
    {"169.254.0.0", 96 + 16, "a link-local address"},
    {"172.16.0.0", 96 + 12, "a private address"},
    {"192.0.0.0", 96 + 24, "a special address"},
    {"192.168.0.0", 96 + 16, "a private address"},
    {"198.18.0.0", 96 + 15, "a special address"},
    {"224.0.0.0", 96 + 4, "a multicast address"},
    {"240.0.0.0", 96 + 4, "a special address"},
    {"::", 128, "no address of a host"},
    {"::1", 128, "a loopback address"},
    {"::ffff:0:0:0", 96, "an IPv4 address for a translator"},
    {"64:ff9b:1::", 48, "an IPv4 address for a translator"},
    {"2001::", 32, "an address of a tunnel"},
    {"fc00::", 7, "a private address"},
    {"fe80::", 10, "a link-local address"},
    {"fec0::", 10, "a private address"},
    {"ff00::", 8, "a multicast address"},
};

bool matches(const Bytes& address, const Bytes& begin, std::size_t bits) {
  const std::size_t whole = bits / 8, rest = bits % 8;
  if (!std::equal(begin.begin(), begin.begin() + static_cast<long>(whole), address.begin())) return false;
  return rest == 0 || ((address[whole] ^ begin[whole]) >> (8 - rest)) == 0;
}

// IPv4 as it is mapped into IPv6.
Bytes mapped(const unsigned char* v4) {
  Bytes bytes{};
  bytes[10] = bytes[11] = 0xff;
  std::copy_n(v4, 4, bytes.begin() + 12);
  return bytes;
}

std::optional<Bytes> parse(const std::string& text, bool& v4) {
  Bytes bytes{};
  unsigned char four[4];
  v4 = ::inet_pton(AF_INET, text.c_str(), four) == 1;
  if (v4) return mapped(four);
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  return std::nullopt;
}

// The IPv4 address that is meant, where one is hidden in an IPv6 one.
Bytes unwrapped(const Bytes& bytes) {
  bool v4 = false;
  if (matches(bytes, *parse("64:ff9b::", v4), 96)) return mapped(bytes.data() + 12);
  if (matches(bytes, *parse("2002::", v4), 16)) return mapped(bytes.data() + 2);
  const bool compatible = matches(bytes, Bytes{}, 96) && (bytes[12] | bytes[13] | bytes[14]) != 0;
  return compatible ? mapped(bytes.data() + 12) : bytes;
}

std::optional<Bytes> bytes_of(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    unsigned char four[4];
    std::memcpy(four, &in.sin_addr, sizeof four);
    return mapped(four);
  }
  if (address.sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 in{};
  std::memcpy(&in, &address, sizeof in);
  Bytes bytes{};
  std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
  return unwrapped(bytes);
}

}  // namespace

std::string_view private_kind(const sockaddr& address) {
  const auto bytes = bytes_of(address);
  if (!bytes) return "no address of the internet";
  for (const Range& range : private_ranges) {
    bool v4 = false;
    if (matches(*bytes, *parse(range.begin, v4), range.bits)) return range.kind;
  }
  return {};
}

std::string address_text(const sockaddr& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address.sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
  } else if (address.sa_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    ::inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
  }
  return text;
}

bool Networks::add(std::string_view network) {
  const std::size_t slash = network.find('/');
  bool v4 = false;
  const auto begin = parse(std::string(network.substr(0, slash)), v4);
  if (!begin) return false;
  std::size_t bits = v4 ? 32 : 128;
  if (slash != network.npos) {
    const std::string_view digits = network.substr(slash + 1);
    const std::size_t most = bits;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (error != std::errc() || end != digits.data() + digits.size() || bits > most) return false;
  }
  list_.push_back({*begin, bits + (v4 ? 96 : 0)});
  return true;
}

bool Networks::permits(const sockaddr& address) const {
  if (all_ || private_kind(address).empty()) return true;
  const auto bytes = bytes_of(address);
  return bytes && std::ranges::any_of(list_, [&](const Network& network) {
           return matches(*bytes, network.begin, network.bits);
         });
}

}  // namespace mlops::util
