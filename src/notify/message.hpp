// From an event to the bytes that an addressee gets. Values are escaped for where they go; only what the
// pipeline file itself says in `text` may be markup.
#pragma once

#include "notify/addressee.hpp"
#include "notify/event.hpp"

#include <string>
#include <string_view>

namespace mlops::notify {

struct Message {
  std::string subject;  ///< one line
  std::string body;     ///< JSON or plain text, by the kind and the preset
};

Message make_message(const Addressee& addressee, const Event& event);

/// A value as the target shows it, and does not obey it: of slack `<!channel>` and `*b*` are text, of discord
/// and teams
/// `[a](b)` is.
std::string escape_for(const Notification& entry, std::string_view value);

/// `text` as the value of a header, of mail and of HTTP: one line, RFC 2047 where it is not ASCII.
std::string header_value(std::string_view text);

}  // namespace mlops::notify
