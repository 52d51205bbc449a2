#include "util/aws_signature.hpp"

#include "catch.hpp"
#include "util/digest.hpp"

using namespace mlops::util;

namespace {

std::string signature(const AwsRequest& request, const AwsCredentials& credentials, const AwsScope& scope,
                      const char* time) {
  for (const auto& [name, value] : aws_sign(request, credentials, scope, *parse_utc(time))) {
    if (name == "authorization") return value.substr(value.rfind('=') + 1);
  }
  return {};
}

const std::string empty = sha256("");

}  // namespace

// From the examples of "Authenticating Requests: Using the Authorization Header" in the S3 API reference.
TEST_CASE("requests to S3 get the published signatures") {
  const AwsCredentials credentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
  const AwsScope scope{"us-east-1", "s3"};
  const char* time = "2013-05-24 00:00:00.000";
  AwsRequest request;
  request.method = "GET";
  request.host = "examplebucket.s3.amazonaws.com";
  request.path = "/";
  request.payload_sha256 = empty;
  request.headers = {{"x-amz-content-sha256", empty}};

  SECTION("an object") {
    request.path = "/test.txt";
    request.headers.emplace_back("range", "bytes=0-9");
    REQUIRE(signature(request, credentials, scope, time) ==
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  }
  SECTION("an upload") {
    request.method = "PUT";
    request.path = "/" + percent_encode("test$file.text", true);
    request.payload_sha256 = sha256("Welcome to Amazon S3.");
    request.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                       {"x-amz-content-sha256", request.payload_sha256},
                       {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    REQUIRE(signature(request, credentials, scope, time) ==
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  }
  SECTION("a query without a value") {
    request.query = {{"lifecycle", ""}};
    REQUIRE(signature(request, credentials, scope, time) ==
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  }
  SECTION("a query that is not sorted") {
    request.query = {{"prefix", "J"}, {"max-keys", "2"}};
    REQUIRE(signature(request, credentials, scope, time) ==
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
  }
}

// From the test suite of Signature Version 4.
TEST_CASE("requests of the signature's test suite get its signatures") {
  const AwsCredentials credentials{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
  const AwsScope scope{"us-east-1", "service"};
  const char* time = "2015-08-30 12:36:00.000";
  AwsRequest request;
  request.method = "GET";
  request.host = "example.amazonaws.com";
  request.path = "/";
  request.payload_sha256 = empty;
  SECTION("get-vanilla") {
    REQUIRE(signature(request, credentials, scope, time) ==
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  }
  SECTION("get-vanilla-query-order-key-case") {
    request.query = {{"Param2", "value2"}, {"Param1", "value1"}};
    REQUIRE(signature(request, credentials, scope, time) ==
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
  }
  SECTION("post-vanilla") {
    request.method = "POST";
    REQUIRE(signature(request, credentials, scope, time) ==
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
  }
}

TEST_CASE("a session's token is sent and signed") {
  AwsRequest request{"GET", "h", "/", {}, {}, empty};
  const auto headers =
      aws_sign(request, {"K", "S", "T/="}, {"r", "s3"}, *parse_utc("2026-01-02 03:04:05.000"));
  REQUIRE(headers.size() == 3);
  REQUIRE(headers[0] == std::pair<std::string, std::string>("x-amz-date", "20260102T030405Z"));
  REQUIRE(headers[1] == std::pair<std::string, std::string>("x-amz-security-token", "T/="));
  REQUIRE_THAT(headers[2].second, ContainsSubstring("SignedHeaders=host;x-amz-date;x-amz-security-token,"));
  REQUIRE_THAT(headers[2].second, ContainsSubstring("Credential=K/20260102/r/s3/aws4_request"));
}

TEST_CASE("queries are encoded and sorted as they are signed") {
  REQUIRE(aws_query({{"uploads", ""}, {"prefix", "a b/ü+~"}}) == "prefix=a%20b%2F%C3%BC%2B~&uploads=");
  REQUIRE(percent_encode("a b/c", true) == "a%20b/c");
}

TEST_CASE("HMAC-SHA-256 gives the digests of RFC 4231") {
  REQUIRE(hmac_sha256(std::string(20, '\x0b'), "Hi There").hex() ==
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  REQUIRE(hmac_sha256("Jefe", "what do ya want for nothing?").hex() ==
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  REQUIRE(
      hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First").hex() ==
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}
