// Which addresses are private: a URL that somebody has written down must not lead there unasked.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

struct sockaddr;

namespace mlops::util {

/// What kind of address it is that is not public: "a loopback address", "a private address", …; empty for a
/// public one. IPv4 inside IPv6 (mapped, NAT64, 6to4) counts as what it is.
std::string_view private_kind(const sockaddr& address);

/// As 10.0.0.5 or fd00::1.
std::string address_text(const sockaddr& address);

/// Private addresses that may be reached.
class Networks {
 public:
  /// Every one of them.
  void add_all() { all_ = true; }
  /// "10.0.0.0/8", "fd00::/8", "127.0.0.1"; false if it is none of these.
  bool add(std::string_view network);
  /// True for public addresses too.
  bool permits(const sockaddr& address) const;

 private:
  struct Network {
    std::array<unsigned char, 16> begin{};
    std::size_t bits = 128;
  };
  std::vector<Network> list_;
  bool all_ = false;
};

}  // namespace mlops::util
