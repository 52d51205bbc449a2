// Who we are to S3 and where it is, as the AWS tools find it: the environment first, then a profile in
// ~/.aws/credentials and ~/.aws/config.
#pragma once

#include "util/aws_signature.hpp"

#include <map>
#include <string>
#include <string_view>

namespace mlops::store {

/// The sections of an INI file as the AWS tools write it: section -> key -> value.
using IniSections = std::map<std::string, std::map<std::string, std::string>>;
IniSections parse_ini(std::string_view text);

struct S3Settings {
  util::AwsCredentials credentials;
  std::string credentials_from;  ///< in words, for messages
  std::string region;
  std::string endpoint;  ///< empty: Amazon's own
};

/// `endpoint` and `region` of the remote's address go before what the environment and the files say. Throws
/// Error(unreachable) that names the places looked at when there are no credentials.
S3Settings find_s3_settings(const std::string& endpoint, const std::string& region);

}  // namespace mlops::store
