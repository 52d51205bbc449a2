// Signing requests to AWS and what speaks its protocol: Signature Version 4. libcurl has a signer too, but
// the one of 7.88 signs unsorted queries, uploads and some headers wrongly, and never sends
// x-amz-content-sha256.
#pragma once

#include "util/time.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlops::util {

struct AwsCredentials {
  std::string key_id;
  std::string secret;
  std::string session_token;  ///< of temporary credentials; may be empty
};

/// Where a signature is good.
struct AwsScope {
  std::string region;
  std::string service;
};

using NamedValues = std::vector<std::pair<std::string, std::string>>;

struct AwsRequest {
  std::string method;
  std::string host;            ///< as in the Host header, with its port if it has one
  std::string path;            ///< percent-encoded, as it is sent
  NamedValues query;           ///< not encoded
  NamedValues headers;         ///< names in lower case; all of them are signed
  std::string payload_sha256;  ///< in hex
};

/// Percent-encodes all but letters, digits and "-._~"; with `keep_slash`, '/' too.
std::string percent_encode(std::string_view text, bool keep_slash);

/// "a=1&b=2", encoded and sorted: what has to be sent for the signature to fit.
std::string aws_query(const NamedValues& query);

/// The headers to send beside those of the request: x-amz-date, x-amz-security-token if there is a token, and
/// authorization.
NamedValues aws_sign(const AwsRequest& request, const AwsCredentials& credentials, const AwsScope& scope,
                     Instant now);

}  // namespace mlops::util
