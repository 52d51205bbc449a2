// What the HTTP server refuses before anybody is asked.
#include <mlops/error.hpp>

#include "catch.hpp"
#include "server/http_server.hpp"
#include "server/listen.hpp"

using namespace mlops;
using namespace mlops::server;

namespace {

const Service service{.answer =
                          [](const Request& request) {
                            if (request.body == "throw") throw std::runtime_error("private");
                            return Reply{static_cast<int>(200 + request.body.size() % 2), "{}"};
                          },
                      .reload = {},
                      .names = {"hooks.example.com"},
                      .limits = {.body = 1'000, .headers = 2'000}};

int status(const std::string& head, const std::string& body = "", const std::string& host = "127.0.0.1:80") {
  return answer_bytes("POST /hooks/x HTTP/1.1\r\nHost: " + host + "\r\n" + head + "\r\n" + body, service);
}

std::string length(std::size_t n) { return "Content-Length: " + std::to_string(n) + "\r\n"; }

}  // namespace

TEST_CASE("requests are taken within limits, whatever they promise") {
  REQUIRE(status(length(3), "abc") == 201);
  REQUIRE(status(length(5), "abc") == 0);  // not whole yet
  REQUIRE(status(length(5), "throw") == 500);
  REQUIRE(status(length(2'000), std::string(2'000, 'x')) == 413);
  REQUIRE(status("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n") == 201);
  REQUIRE(status("Transfer-Encoding: chunked\r\n", "7d0\r\n" + std::string(2'000, 'x') + "\r\n0\r\n\r\n") ==
          413);
  REQUIRE(status("Transfer-Encoding: chunked\r\n", "-2\r\nabc") == 400);
  REQUIRE(status("X: " + std::string(5'000, 'x') + "\r\n") == 431);
  REQUIRE(answer_bytes("nonsense\r\n\r\n", service) == 400);
  REQUIRE(answer_bytes("POST /hooks/x HTTP/1.1\r\n\r\n", service) == 400);  // no Host
}

TEST_CASE("only who asks for this server is answered, and no web page") {
  REQUIRE(status(length(0), "", "evil.example.com") == 421);
  REQUIRE(status(length(0), "", "hooks.example.com") == 200);
  REQUIRE(status("Host: localhost\r\n" + length(0)) == 400);  // two of them
  REQUIRE(status("Origin: https://example.com\r\n" + length(0)) == 403);
  REQUIRE(status("Sec-Fetch-Site: same-origin\r\n" + length(0)) == 403);
  for (const char* good : {"localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:80", "[::1]"})
    REQUIRE(is_our_name(good, {}));
  for (const char* bad : {"", "localhost.evil.com", "127.0.0.1.nip.io", "127.0.0.1:80:80", "localhost:http",
                          "127.0.0.2", "0.0.0.0", "localhost@evil.com", "[::1]evil", "localhost:"})
    REQUIRE(!is_our_name(bad, {}));
}

TEST_CASE("the server listens where only this machine can reach it, unless it is told otherwise") {
  const Listening one = listen_on("127.0.0.1:0", false);
  REQUIRE(one.address.starts_with("127.0.0.1:"));
  REQUIRE(one.address != "127.0.0.1:0");
  REQUIRE_THROWS_WITH(listen_on(one.address, false), ContainsSubstring("cannot listen at"));
  REQUIRE_THROWS_WITH(listen_on("0.0.0.0:0", false), ContainsSubstring("can be reached from other machines"));
  for (const char* bad :
       {"", "x", "127.0.0.1:99999", "example.com:80", "127.0.0.1:", "127.0.0.1:80x", "[::1:80"})
    REQUIRE_THROWS_WITH(listen_on(bad, false), ContainsSubstring("cannot read the address"));
}
