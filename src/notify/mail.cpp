#include "notify/mail.hpp"

#include "notify/message.hpp"
#include "util/strings.hpp"

#include <ctime>

namespace mlops::notify {

namespace {

// RFC 2045. No line begins with a dot or "From ", and none is longer than 76 characters.
std::string quoted_printable(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  std::size_t column = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\r') continue;
    if (c == '\n') {
      out += "\r\n";
      column = 0;
      continue;
    }
    const bool last = i + 1 == text.size() || text[i + 1] == '\n' || text[i + 1] == '\r';
    const bool plain = c > ' ' && c < 127 && c != '=' && !(column == 0 && (c == '.' || c == 'F'));
    const std::size_t width = plain || (c == ' ' && !last) ? 1 : 3;
    if (column + width > 75) {
      out += "=\r\n";
      column = 0;
    }
    if (width == 1) {
      out += static_cast<char>(c);
    } else {
      out += {'=', digits[c >> 4], digits[c & 15]};
    }
    column += width;
  }
  return out + "\r\n";
}

std::string date_text(std::int64_t at) {
  constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t time = static_cast<std::time_t>(at);
  std::tm date{};
  ::gmtime_r(&time, &date);
  char text[64];
  // Not by the locale: the words are the protocol's.
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[date.tm_wday], date.tm_mday,
                months[date.tm_mon], date.tm_year + 1900, date.tm_hour, date.tm_min, date.tm_sec);
  return text;
}

// A name in front of the address may need to be written in another way.
std::string mailbox(const std::string& address) {
  const std::string bare = bare_address(address);
  const std::size_t open = address.rfind('<');
  if (open == address.npos) return bare;
  const std::string name = header_value(util::trim(std::string_view(address).substr(0, open)));
  return name.empty() ? bare : name + " <" + bare + ">";
}

}  // namespace

std::string bare_address(std::string_view address) {
  const std::size_t open = address.rfind('<'), close = address.rfind('>');
  if (open == address.npos || close == address.npos || close < open) return std::string(util::trim(address));
  return std::string(util::trim(address.substr(open + 1, close - open - 1)));
}

std::string mail_text(const MailParts& parts) {
  const std::string bare = bare_address(parts.from);
  const std::size_t at = bare.find('@');
  const std::string domain = at == bare.npos ? "localhost" : bare.substr(at + 1);
  return "From: " + mailbox(parts.from) + "\r\nTo: " + util::join(parts.to, ",\r\n ") +
         "\r\nSubject: " + header_value(parts.subject) + "\r\nDate: " + date_text(parts.at) +
         "\r\nMessage-ID: <" + parts.id + "@" + domain +
         ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
         "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
         quoted_printable(parts.text);
}

}  // namespace mlops::notify
