// The text of a mail: header and body.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlops::notify {

struct MailParts {
  std::string from;  ///< as configured: an address, or a name with one in <>
  std::vector<std::string> to;
  std::string subject;
  std::string text;
  std::string id;       ///< unique for ever, the same in every attempt
  std::int64_t at = 0;  ///< seconds since 1970
};

/// "ml@example.org" of "Models <ml@example.org>".
std::string bare_address(std::string_view address);

/// RFC 5322, with lines that end as SMTP wants them; the body is UTF-8 as quoted-printable.
std::string mail_text(const MailParts& parts);

}  // namespace mlops::notify
