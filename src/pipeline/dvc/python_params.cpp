#include "pipeline/dvc/python_params.hpp"

#include "pipeline/dvc/value.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <vector>

namespace mlops::pipeline::dvc {

namespace {

// Letters beyond ASCII may be part of names too.
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80); }

// The end of the string literal that begins at `at` with a quote.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const bool triple = text.substr(at, 3) == std::string(3, quote);
  for (std::size_t i = at + (triple ? 3 : 1); i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (triple ? text.substr(i, 3) == std::string(3, quote) : text[i] == quote) {
      return i + (triple ? 3 : 1);
    } else if (!triple && text[i] == '\n') {
      return i;
    }
  }
  return text.size();
}

struct Line {
  std::size_t indent = 0;
  std::string text;  // without comments; on one line unless a string holds line breaks
};

// Where the header of a compound statement ends, after its colon; npos if `text` is no such statement.
std::size_t end_of_header(std::string_view text) {
  constexpr std::string_view compound[] = {"class", "def", "if",     "elif",    "else", "for",
                                           "while", "try", "except", "finally", "with", "async"};
  const std::size_t word = std::min(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), text.size());
  if (std::ranges::find(compound, text.substr(0, word)) == std::end(compound)) return text.npos;
  if (word < text.size() && is_word(text[word])) return text.npos;
  int depth = 0;
  for (std::size_t i = word; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = end_of_string(text, i) - 1;
    } else if (c == '(' || c == '[' || c == '{') {
      ++depth;
    } else if (c == ')' || c == ']' || c == '}') {
      --depth;
    } else if (c == ':' && depth == 0 && text.substr(i, 2) != ":=") {
      return i + 1;
    }
  }
  return text.npos;
}

// Statements: lines joined inside brackets and after a backslash, split at semicolons. A body on the line of
// its header comes out as if it stood below it.
std::vector<Line> statements_of(std::string_view text) {
  std::vector<Line> lines;
  Line line;
  int depth = 0;
  bool begun = false;
  const auto finish = [&] {
    std::string_view rest = util::trim(line.text);
    if (const std::size_t header = end_of_header(rest); header != rest.npos) {
      lines.push_back({line.indent++, std::string(rest.substr(0, header))});
      rest = util::trim(rest.substr(header));
    }
    if (!rest.empty()) lines.push_back({line.indent, std::string(rest)});
    line.text.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!begun && (c == ' ' || c == '\t')) {
      line.indent += c == '\t' ? 8 - line.indent % 8 : 1;
      continue;
    }
    if (c == '#') {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
      continue;
    }
    if (c == '\\' && i + 1 < text.size() && text[i + 1] == '\n') {
      ++i;
      continue;
    }
    if (c == '\n' || (c == ';' && depth == 0)) {
      if (depth > 0) {
        line.text += ' ';
        continue;
      }
      finish();
      if (c == '\n') begun = false, line.indent = 0;
      continue;
    }
    begun = true;
    if (c == '"' || c == '\'') {
      const std::size_t end = end_of_string(text, i);
      line.text += text.substr(i, end - i);
      i = end - 1;
      continue;
    }
    if (c == '(' || c == '[' || c == '{') ++depth;
    if ((c == ')' || c == ']' || c == '}') && depth > 0) --depth;
    line.text += c == '\r' ? ' ' : c;
  }
  finish();
  return lines;
}

struct NoLiteral {};

class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : text_(text) {}

  OrderedJson read() {
    OrderedJson value = element();
    skip();
    if (at_ < text_.size() && text_[at_] == ',') {
      OrderedJson list = OrderedJson::array({std::move(value)});
      while (take(',')) {
        skip();
        if (at_ == text_.size()) break;
        list.push_back(element());
        skip();
      }
      value = std::move(list);
    }
    skip();
    if (at_ != text_.size()) throw NoLiteral{};
    return value;
  }

 private:
  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  OrderedJson element() {
    if (++depth_ > 100) throw NoLiteral{};
    OrderedJson value = inner_element();
    --depth_;
    return value;
  }

  OrderedJson inner_element() {
    skip();
    if (at_ == text_.size()) throw NoLiteral{};
    const char c = text_[at_];
    if (c == '[' || c == '(') return sequence(c == '[' ? ']' : ')');
    if (c == '{') return map();
    if (c == '"' || c == '\'' || is_prefixed_string()) return string();
    if (c == '-' || c == '+') {
      ++at_;
      const OrderedJson value = unsigned_number();
      if (c == '+') return value;
      return value.is_number_float() ? OrderedJson(-value.get<double>())
                                     : OrderedJson(-value.get<std::int64_t>());
    }
    return word();
  }

  // What may follow a sign: a number, as Python's literal_eval() does not calculate.
  OrderedJson unsigned_number() {
    if (++depth_ > 100) throw NoLiteral{};
    const bool brackets = take('(');
    skip();
    const OrderedJson value = brackets ? unsigned_number() : word();
    if (!value.is_number() || (brackets && !take(')'))) throw NoLiteral{};
    --depth_;
    return value;
  }

  OrderedJson sequence(char close) {
    ++at_;
    OrderedJson list = OrderedJson::array();
    bool comma = false;
    while (!take(close)) {
      list.push_back(element());
      if (take(',')) {
        comma = true;
      } else {
        if (!take(close)) throw NoLiteral{};
        break;
      }
    }
    // In round brackets a single value is no tuple.
    return close == ')' && list.size() == 1 && !comma ? list[0] : list;
  }

  OrderedJson map() {
    ++at_;
    OrderedJson result = OrderedJson::object();
    if (take('}')) return result;
    bool set = false;
    OrderedJson items = OrderedJson::array();
    while (true) {
      OrderedJson key = element();
      if (take(':')) {
        const std::string name = key.is_string() ? key.get<std::string>() : plain_mark + to_text(key);
        result[name] = element();
      } else {
        set = true;
        items.push_back(std::move(key));
      }
      if (take(',')) {
        if (take('}')) break;
      } else if (take('}')) {
        break;
      } else {
        throw NoLiteral{};
      }
    }
    return set ? items : result;
  }

  bool is_prefixed_string() const {
    std::size_t i = at_;
    while (i < text_.size() && std::string_view("rRuUbB").find(text_[i]) != std::string_view::npos) ++i;
    return i > at_ && i - at_ <= 2 && i < text_.size() && (text_[i] == '"' || text_[i] == '\'');
  }

  OrderedJson string() {
    std::string value;
    do {
      bool raw = false;
      while (text_[at_] != '"' && text_[at_] != '\'') {
        if (text_[at_] == 'b' || text_[at_] == 'B') throw NoLiteral{};
        raw = raw || text_[at_] == 'r' || text_[at_] == 'R';
        ++at_;
      }
      const std::size_t end = end_of_string(text_, at_);
      const std::size_t quotes = text_.substr(at_, 3) == std::string(3, text_[at_]) && end - at_ >= 6 ? 3 : 1;
      if (end - at_ < 2 * quotes) throw NoLiteral{};
      const std::string_view body = text_.substr(at_ + quotes, end - at_ - 2 * quotes);
      value += raw ? std::string(body) : unescaped(body);
      at_ = end;
      skip();
    } while (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'' || is_prefixed_string()));
    return value;
  }

  static void append_utf8(std::string& out, unsigned long code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 63));
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | code >> 12);
      out += static_cast<char>(0x80 | (code >> 6 & 63));
      out += static_cast<char>(0x80 | (code & 63));
    } else {
      out += static_cast<char>(0xF0 | code >> 18);
      out += static_cast<char>(0x80 | (code >> 12 & 63));
      out += static_cast<char>(0x80 | (code >> 6 & 63));
      out += static_cast<char>(0x80 | (code & 63));
    }
  }

  static std::string unescaped(std::string_view body) {
    std::string out;
    for (std::size_t i = 0; i < body.size(); ++i) {
      if (body[i] != '\\' || i + 1 == body.size()) {
        out += body[i];
        continue;
      }
      const char c = body[++i];
      const std::size_t known = std::string_view("ntr0abfv").find(c);
      if (c == '\n') continue;
      if (c == 'x' || c == 'u' || c == 'U') {
        const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        append_utf8(out, std::strtoul(std::string(body.substr(i + 1, digits)).c_str(), nullptr, 16));
        i += digits;
      } else if (known != std::string_view::npos) {
        out += "\n\t\r\0\a\b\f\v"[known];
      } else if (c == '\\' || c == '\'' || c == '"') {
        out += c;
      } else {
        out += '\\';
        out += c;
      }
    }
    return out;
  }

  OrderedJson word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() &&
           (is_word(text_[at_]) || text_[at_] == '.' ||
            ((text_[at_] == '-' || text_[at_] == '+') && (text_[at_ - 1] == 'e' || text_[at_ - 1] == 'E') &&
             std::isdigit(static_cast<unsigned char>(text_[begin])))))
      ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (word == "True") return true;
    if (word == "False") return false;
    if (word == "None") return nullptr;
    OrderedJson value = plain_value(word);
    if (!value.is_number()) throw NoLiteral{};
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

// NAME = VALUE or NAME: TYPE = VALUE; the position of '=', if there is exactly one outside brackets and
// strings.
std::optional<std::size_t> equals_sign(std::string_view text) {
  int depth = 0;
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') i = end_of_string(text, i) - 1;
    if (c == '(' || c == '[' || c == '{') ++depth;
    if (c == ')' || c == ']' || c == '}') --depth;
    if (c != '=' || depth > 0) continue;
    const bool compares =
        (i + 1 < text.size() && text[i + 1] == '=') ||
        (i > 0 && std::string_view("=!<>+-*/%&|^:@").find(text[i - 1]) != std::string_view::npos);
    if (compares || found) return std::nullopt;
    found = i;
  }
  return found;
}

class Block {
 public:
  explicit Block(const std::vector<Line>& lines) : lines_(lines) {}

  OrderedJson read(std::size_t& at, std::size_t indent, bool only_self) {
    OrderedJson result = OrderedJson::object();
    while (at < lines_.size() && lines_[at].indent >= indent) {
      const Line& line = lines_[at++];
      if (line.indent > indent) continue;  // inside an if, a for, …
      if (line.text.starts_with("class ") && line.text.ends_with(':')) {
        std::size_t end = 6;
        while (end < line.text.size() && is_word(line.text[end])) ++end;
        const std::string name = line.text.substr(6, end - 6);
        if (at < lines_.size() && lines_[at].indent > indent)
          result[name] = read(at, lines_[at].indent, false);
      } else if (is_init(line.text)) {
        if (at < lines_.size() && lines_[at].indent > indent) {
          const OrderedJson inner = read(at, lines_[at].indent, true);
          result.update(inner);
        }
      } else {
        assign(line.text, only_self, result);
      }
    }
    return result;
  }

 private:
  static bool is_init(std::string_view text) {
    if (!text.starts_with("def ") || !text.ends_with(':')) return false;
    const std::string_view name = util::trim(text.substr(4));
    return name.starts_with("__init__") && !is_word(name[8]);
  }

  static void assign(std::string_view text, bool only_self, OrderedJson& result) {
    const auto equals = equals_sign(text);
    if (!equals) return;
    std::string_view name = text.substr(0, *equals);
    name = util::trim(name.substr(0, name.find(':')));
    const bool of_self = name.starts_with("self.");
    if (of_self) name.remove_prefix(5);
    if (only_self && !of_self) return;
    if (name.empty()) return;
    for (const char c : name) {
      if (!is_word(c)) return;
    }
    try {
      result[std::string(name)] = LiteralReader(util::trim(text.substr(*equals + 1))).read();
    } catch (const NoLiteral&) {
      // Something that only Python can tell.
    }
  }

  const std::vector<Line>& lines_;
};

}  // namespace

OrderedJson parse_python_params(std::string_view text) {
  const std::vector<Line> lines = statements_of(text);
  std::size_t at = 0;
  return Block(lines).read(at, 0, false);
}

}  // namespace mlops::pipeline::dvc
