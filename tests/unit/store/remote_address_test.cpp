#include "store/remote_address.hpp"

#include <mlops/error.hpp>

#include "catch.hpp"
#include "store/s3_credentials.hpp"
#include "util/files.hpp"

using namespace mlops;
using namespace mlops::store;

TEST_CASE("addresses of remotes are taken apart") {
  auto address = parse_remote_address("/mnt/share/x/");
  REQUIRE(address.kind == RemoteKind::directory);
  REQUIRE(address.path == "/mnt/share/x");
  REQUIRE(parse_remote_address("file:///mnt/a b").path == "/mnt/a b");
  REQUIRE(parse_remote_address("sub/../here").path == util::absolute_path("here"));

  address = parse_remote_address("ssh://ml@box.example.org:2222/srv/mlops/");
  REQUIRE(address.kind == RemoteKind::ssh);
  REQUIRE(address.user == "ml");
  REQUIRE(address.host == "box.example.org");
  REQUIRE(address.port == 2222);
  REQUIRE(address.path == "/srv/mlops");
  address = parse_remote_address("ssh://[::1]:22/x");
  REQUIRE(address.host == "::1");
  REQUIRE(address.port == 22);
  REQUIRE(parse_remote_address("ssh://host/x").port == 0);
  REQUIRE(parse_remote_address("ssh://host/~/x/y").path == "x/y");

  address = parse_remote_address("s3://bucket/a/b/", "http://127.0.0.1:9000/", "eu-west-1");
  REQUIRE(address.kind == RemoteKind::s3);
  REQUIRE(address.bucket == "bucket");
  REQUIRE(address.path == "a/b");
  REQUIRE(address.endpoint == "http://127.0.0.1:9000");
  REQUIRE(parse_remote_address("s3://bucket").path.empty());
}

TEST_CASE("addresses that cannot be meant are refused") {
  for (const char* url : {"",
                          "ftp://host/x",
                          "ssh://host",
                          "ssh://host/",
                          "ssh:///x",
                          "ssh://user:secret@host/x",
                          "ssh://-oProxyCommand=x/x",
                          "ssh://-x@host/x",
                          "ssh://host:0/x",
                          "ssh://host:99999/x",
                          "ssh://host:2x/x",
                          "ssh://a b/x",
                          "ssh://[::1/x",
                          "s3://",
                          "s3://a",
                          "s3:///x",
                          "s3://bu cket/x",
                          "s3://KEY:SECRET@bucket/x",
                          "file://x",
                          "/tmp/\nx"}) {
    INFO(url);
    REQUIRE_THROWS_AS(parse_remote_address(url), Error);
  }
  for (const char* endpoint :
       {"127.0.0.1:9000", "http://", "ftp://x", "http://a/b", "http://u:p@host", "http://a b"}) {
    INFO(endpoint);
    REQUIRE_THROWS_AS(parse_remote_address("s3://bucket", endpoint), Error);
  }
  REQUIRE_THROWS_AS(parse_remote_address("/x", "http://host"), Error);
}

TEST_CASE("a password in an address is not repeated in the message") {
  for (const char* url : {"ssh://user:secret@host/x", "s3://KEY:secret@bucket/x"}) {
    try {
      parse_remote_address(url);
      FAIL();
    } catch (const Error& error) {
      REQUIRE(std::string(error.what()).find("secret") == std::string::npos);
    }
  }
}

TEST_CASE("the files of the AWS tools are read") {
  auto ini = parse_ini(
      "# mine\n[default]\naws_access_key_id = A\nAWS_Secret_Access_Key=B=b\n[profile ml]\nregion= eu-west-1 "
      "\ns3 =\n"
      "  addressing_style = path\noutput = json\n; end\nnonsense\n");
  REQUIRE(ini["default"]["aws_access_key_id"] == "A");
  REQUIRE(ini["default"]["aws_secret_access_key"] == "B=b");
  REQUIRE(ini["profile ml"]["region"] == "eu-west-1");
  REQUIRE(ini["profile ml"]["output"] == "json");
  REQUIRE_FALSE(ini["profile ml"].contains("addressing_style"));
  REQUIRE(parse_ini("[").size() <= 1);
  REQUIRE(parse_ini("").empty());
}
