// What a user writes to name a remote.
#pragma once

#include <string>

namespace mlops::store {

enum class RemoteKind { directory, ssh, s3 };

struct RemoteAddress {
  std::string url;       ///< as it is kept: in one form whatever was typed
  std::string endpoint;  ///< of an S3-compatible server, "http://host:port"; empty: Amazon's
  std::string region;    ///< empty: from the environment or the files of the AWS tools

  RemoteKind kind = RemoteKind::directory;
  std::string user, host;  ///< of ssh; the user may be empty
  int port = 0;            ///< of ssh; 0: what ssh takes
  std::string bucket;      ///< of S3
  std::string path;        ///< a directory, or the prefix of keys without slashes at its ends
};

/// Reads "/path", "file://…", "ssh://[user@]host[:port]/path" or "s3://bucket[/prefix]". A relative path is
/// taken from the working directory. Throws Error(usage), also for an address with a password in it.
RemoteAddress parse_remote_address(const std::string& url, const std::string& endpoint = {},
                                   const std::string& region = {});

}  // namespace mlops::store
