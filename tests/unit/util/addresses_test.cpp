#include "util/addresses.hpp"

#include "catch.hpp"

#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

using namespace mlops::util;

namespace {

// A socket's address of a text.
struct Address {
  explicit Address(const char* text) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    if (::inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
      storage.ss_family = AF_INET;
    } else {
      REQUIRE(::inet_pton(AF_INET6, text, &v6->sin6_addr) == 1);
      storage.ss_family = AF_INET6;
    }
  }
  const sockaddr& get() const { return reinterpret_cast<const sockaddr&>(storage); }
  sockaddr_storage storage{};
};

}  // namespace

TEST_CASE("private addresses are known, however they are written") {
  for (const char* text : {"127.0.0.1",
                           "127.8.9.1",
                           "0.0.0.0",
                           "10.1.2.3",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "169.254.169.254",
                           "100.64.0.1",
                           "100.127.255.255",
                           "224.0.0.1",
                           "255.255.255.255",
                           "198.18.0.1",
                           "::",
                           "::1",
                           "fe80::1",
                           "fd00::1",
                           "fc00::1",
                           "ff02::1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::",
                           "2002:a00:1::1",
                           "::127.0.0.1",
                           "fec0::1",
                           "64:ff9b:1::7f00:1",
                           "64:ff9b:1:ffff::808:808",
                           "::ffff:0:7f00:1",
                           "::ffff:0:808:808",
                           "2001::1",
                           "2001:0:4136:e378:8000:63bf:3fff:fdd2"}) {
    INFO(text);
    REQUIRE_FALSE(private_kind(Address(text).get()).empty());
    REQUIRE_FALSE(Networks().permits(Address(text).get()));
  }
  for (const char* text :
       {"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.0",
        "192.167.255.255", "169.253.0.1", "2606:4700::1111", "2001:1::1", "2001:4860:4860::8888",
        "64:ff9b:2::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"}) {
    INFO(text);
    REQUIRE(private_kind(Address(text).get()).empty());
    REQUIRE(Networks().permits(Address(text).get()));
  }
  sockaddr local{};
  local.sa_family = AF_UNIX;
  REQUIRE_FALSE(Networks().permits(local));
}

TEST_CASE("networks that were allowed may be reached, and no others") {
  Networks networks;
  REQUIRE(networks.add("10.1.0.0/16"));
  REQUIRE(networks.add("127.0.0.1"));
  REQUIRE(networks.add("fd00::/8"));
  for (const char* bad :
       {"", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "10.0.0/8", "host", "::/129", "10.0.0.0/-1"}) {
    INFO(bad);
    REQUIRE_FALSE(networks.add(bad));
  }
  REQUIRE(networks.permits(Address("10.1.255.1").get()));
  REQUIRE(networks.permits(Address("::ffff:10.1.255.1").get()));
  REQUIRE_FALSE(networks.permits(Address("10.2.0.1").get()));
  REQUIRE(networks.permits(Address("127.0.0.1").get()));
  REQUIRE_FALSE(networks.permits(Address("127.0.0.2").get()));
  REQUIRE(networks.permits(Address("fdab::1").get()));
  REQUIRE_FALSE(networks.permits(Address("::1").get()));
  REQUIRE(networks.add("64:ff9b:1:2::/64"));
  REQUIRE(networks.permits(Address("64:ff9b:1:2::7f00:1").get()));
  REQUIRE_FALSE(networks.permits(Address("64:ff9b:1:3::7f00:1").get()));
  Networks all;
  all.add_all();
  REQUIRE(all.permits(Address("169.254.169.254").get()));
  REQUIRE(address_text(Address("fd00::1").get()) == "fd00::1");
  REQUIRE(address_text(Address("10.1.2.3").get()) == "10.1.2.3");
}
