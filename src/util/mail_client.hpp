// Mail by SMTP, through libcurl.
#pragma once

#include <string>
#include <vector>

namespace mlops::util {

struct MailServer {
  std::string url;  ///< smtps://HOST[:PORT], or smtp://HOST[:PORT]: encrypted too, if the server can
  std::string user;
  std::string password;  ///< sent over TLS only, or to this machine
};

struct MailAnswer {
  bool sent = false;
  std::string error;   ///< why it was not, in words
  bool again = false;  ///< another try may do better
};

/// Hands `text`, a whole message with its header, to the server for `to`. Addresses are bare. Throws
/// Error(unreachable) where there is no libcurl.
MailAnswer send_mail(const MailServer& server, const std::string& from, const std::vector<std::string>& to,
                     const std::string& text);

}  // namespace mlops::util
