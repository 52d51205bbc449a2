#include "notify/message.hpp"

#include "pipeline/message_template.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>

namespace mlops::notify {

namespace {

// What the targets take: Discord 2,000 characters, ntfy 4,096 bytes, the others more.
std::size_t limit_of(const Notification& entry) {
  if (entry.kind == Notification::Kind::command || entry.preset == "json") return 64 << 10;
  return entry.preset == "discord" ? 1'900 : entry.preset == "ntfy" ? 3'900 : 16 << 10;
}

std::string cut(const std::string& text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not within a character
  return text.substr(0, end) + "…";
}

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    line += u < ' ' || u == 127 ? ' ' : c;
  }
  return line;
}

// A card of the workflows that post to a channel of Teams.
Json teams_card(const std::string& head, const std::string& text) {
  Json lines = Json::array();
  if (!head.empty())
    lines.push_back(
        {{"type", "TextBlock"}, {"text", head}, {"weight", "Bolder"}, {"size", "Medium"}, {"wrap", true}});
  // One line break in Markdown is none.
  std::string spaced;
  for (const char c : text) spaced += c == '\n' ? std::string("\n\n") : std::string(1, c);
  lines.push_back({{"type", "TextBlock"}, {"text", spaced}, {"wrap", true}});
  const Json card = {{"$schema", "http://adaptivecards.io/schemas/adaptive-card.json"},
                     {"type", "AdaptiveCard"},
                     {"version", "1.4"},
                     {"body", std::move(lines)}};
  const Json attachment = {{"contentType", "application/vnd.microsoft.card.adaptive"}, {"content", card}};
  return {{"type", "message"}, {"attachments", Json::array({attachment})}};
}

// Slack and those that read its messages have no common escape for most of their markup: signs that look
// alike stand for it, and something invisible in what calls people or is a link to Mattermost. A '_' within a
// word is none.
std::string escape_for_slack(std::string_view text) {
  const auto is_word = [&](std::size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '*': out += "\u2217"; break;
      case '~': out += "\u223c"; break;
      case '`': out += "\u02cb"; break;
      case '_': out += is_word(i - 1) && is_word(i + 1) ? "_" : "\u02cd"; break;
      case '@': out += i > 0 && is_word(i - 1) ? "@" : "@\u200b"; break;
      case '(': out += i > 0 && text[i - 1] == ']' ? "\u200b(" : "("; break;
      default: out += text[i];
    }
  }
  return out;
}

}  // namespace

std::string escape_for(const Notification& entry, std::string_view value) {
  const std::string text = util::to_utf8(value);
  if (entry.preset == "slack") return escape_for_slack(text);
  std::string out;
  for (const char c : text) {
    const bool markup =
        (entry.preset == "discord" &&
         std::string_view("\\*_~`|>#[]()@<").find(c) != std::string_view::npos) ||
        (entry.preset == "teams" && std::string_view("\\*_`[]()#").find(c) != std::string_view::npos);
    if (markup) out += '\\';
    out += c;
  }
  return out;
}

Message make_message(const Addressee& addressee, const Event& event) {
  const Notification& entry = addressee.entry;
  const std::string title = util::to_utf8(headline(event));
  const bool own = !entry.text.empty();
  const auto value = [&](std::string_view name) { return field(event, name); };
  const auto shown = [&](std::string_view words) { return escape_for(entry, words); };
  std::string text = own ? pipeline::fill_template(entry.text, value, shown) : shown(details(event));
  text = cut(util::to_utf8(text), limit_of(entry));
  const std::string head = shown(title);
  const std::string whole = own ? text : head + "\n" + text;
  Message message{on_one_line(title), text};
  if (entry.preset == "slack") {
    message.body = dump({{"text", whole}});
  } else if (entry.preset == "discord") {
    message.body = dump({{"content", whole}, {"allowed_mentions", {{"parse", Json::array()}}}});
  } else if (entry.preset == "teams") {
    message.body = dump(teams_card(own ? "" : head, text));
  } else if (entry.preset == "json" || entry.kind == Notification::Kind::command) {
    Json json = to_json(event);
    json["text"] = text;
    message.body = dump(json);
  }
  return message;
}

std::string header_value(std::string_view text) {
  const std::string line = util::to_utf8(on_one_line(text));
  const auto plain = [](unsigned char c) { return c >= ' ' && c < 127; };
  if (line.size() <= 200 && std::ranges::all_of(line, plain) && line.find("=?") == line.npos) return line;
  // Each part is a word of at most 75 characters, and no character is cut in two.
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out, word;
  const auto flush = [&] {
    if (!word.empty()) out += (out.empty() ? "=?UTF-8?Q?" : " =?UTF-8?Q?") + word + "?=";
    word.clear();
  };
  for (std::size_t i = 0; i < line.size();) {
    std::size_t end = i + 1;
    while (end < line.size() && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) ++end;
    std::string piece;
    for (; i < end; ++i) {
      const auto c = static_cast<unsigned char>(line[i]);
      if (std::isalnum(c)) {
        piece += line[i];
      } else if (c == ' ') {
        piece += '_';
      } else {
        piece += {'=', digits[c >> 4], digits[c & 15]};
      }
    }
    if (word.size() + piece.size() > 60) flush();
    word += piece;
  }
  flush();
  return out;
}

}  // namespace mlops::notify
