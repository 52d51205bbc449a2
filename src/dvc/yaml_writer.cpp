#include "dvc/yaml_writer.hpp"

#include "pipeline/dvc/value.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace mlops::dvc {

namespace {

constexpr std::size_t width = 80;
constexpr std::size_t longest_simple_key = 128;

using Text = std::u32string;

Text code_points(std::string_view utf8) {
  Text out;
  for (std::size_t i = 0; i < utf8.size();) {
    const auto c = static_cast<unsigned char>(utf8[i]);
    const std::size_t size = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    char32_t code = size == 1 ? c : c & (0xFF >> (size + 1));
    for (std::size_t k = 1; k < size && i + k < utf8.size(); ++k)
      code = code << 6 | (static_cast<unsigned char>(utf8[i + k]) & 0x3F);
    out += code;
    i += size;
  }
  return out;
}

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

bool is_break(char32_t c) { return c == '\n' || c == 0x85 || c == 0x2028 || c == 0x2029; }
bool is_space_like(char32_t c) { return c == 0 || c == ' ' || c == '\t' || c == '\r' || is_break(c); }
bool is_printable(char32_t c) {
  return (c >= 0x20 && c <= 0x7E) || (c >= 0xA0 && c <= 0xD7FF) ||
         (c >= 0xE000 && c <= 0xFFFD && c != 0xFEFF) || (c >= 0x10000 && c <= 0x10FFFF);
}

enum class Style { plain, single_quoted, double_quoted };

// What may be written without quotes, and what must be in double ones.
Style style_of(const Text& text, const std::string& utf8) {
  bool indicators = utf8.starts_with("---") || utf8.starts_with("...");
  bool special = false, breaks = false, space_break = false, break_space = false, quote = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    const bool before = i == 0 || is_space_like(text[i - 1]);
    const bool after = i + 1 >= text.size() || is_space_like(text[i + 1]);
    if (i == 0) {
      if (c < 0x80 &&
          std::string_view("#,[]{}&*!|>'\"%@`").find(static_cast<char>(c)) != std::string_view::npos)
        indicators = true;
      if ((c == '?' || c == ':' || c == '-') && after) indicators = true;
    } else {
      if (c == ':' && after) indicators = true;
      if (c == '#' && before) indicators = true;
    }
    if (is_break(c)) breaks = true;
    if (c == '\'') quote = true;
    if (c != '\n' && c != 0x85 && !is_printable(c)) special = true;
    if (i > 0 && c == ' ' && is_break(text[i - 1])) break_space = true;
    if (i > 0 && is_break(c) && text[i - 1] == ' ') space_break = true;
  }
  const bool edges = !text.empty() && (text.front() == ' ' || text.back() == ' ');
  const OrderedJson meaning = pipeline::dvc::plain_value(utf8);
  const bool is_text =
      meaning.is_string() && !pipeline::dvc::is_plain(meaning) && utf8 != "=" && utf8 != "<<";
  if (is_text && !indicators && !special && !breaks && !edges) return Style::plain;
  if (quote || breaks || special || break_space || space_break) return Style::double_quoted;
  return Style::single_quoted;
}

class Writer {
 public:
  std::string take() { return std::move(out_); }

  void map_entries(const OrderedJson& map, std::size_t indent, bool first_in_place) {
    for (const auto& [key, value] : map.items()) {
      if (!first_in_place) pad(indent);
      first_in_place = false;
      entry(key, value, indent);
    }
  }

  void list_items(const OrderedJson& list, std::size_t indent, bool first_in_place) {
    for (const OrderedJson& item : list) {
      if (!first_in_place) pad(indent);
      first_in_place = false;
      put("- ");
      if (item.is_object() && !item.empty()) {
        map_entries(item, indent + 2, true);
      } else if (item.is_array() && !item.empty()) {
        list_items(item, indent + 2, true);
      } else {
        scalar(item, indent + 2);
        end_line();
      }
    }
  }

  void entry(const std::string& key, const OrderedJson& value, std::size_t indent) {
    const Text name = code_points(key);
    const bool simple = name.size() < longest_simple_key && name.find('\n') == name.npos;
    if (!simple) {
      put("? ");
      text(key, indent + 2, true);
      end_line();
      pad(indent);
      put(":");
    } else {
      text(key, indent + 2, false);
      put(":");
    }
    if (value.is_object() && !value.empty()) {
      if (simple) {
        end_line();
      } else {
        put(" ");
      }
      map_entries(value, indent + 2, !simple);
    } else if (value.is_array() && !value.empty()) {
      if (simple) {
        end_line();
        list_items(value, indent, false);
      } else {
        put(" ");
        list_items(value, indent + 2, true);
      }
    } else {
      if (!value.is_null()) put(" ");
      scalar(value, indent + 2);
      end_line();
    }
  }

  void pad(std::size_t columns) {
    out_.append(columns, ' ');
    column_ = columns;
  }

  void scalar(const OrderedJson& value, std::size_t indent) {
    if (value.is_string()) return text(value.get_ref<const std::string&>(), indent, true);
    if (value.is_object()) return put("{}");
    if (value.is_array()) return put("[]");
    if (value.is_boolean()) return put(value.get<bool>() ? "true" : "false");
    if (value.is_number_float()) {
      const double number = value.get<double>();
      if (std::isnan(number)) return put(".nan");
      if (std::isinf(number)) return put(number < 0 ? "-.inf" : ".inf");
      return put(pipeline::dvc::float_text(number));
    }
    if (!value.is_null()) put(value.dump());
  }

 private:
  void put(std::string_view ascii) {
    out_ += ascii;
    column_ += ascii.size();
  }
  void put(const Text& part) {
    for (const char32_t c : part) append_utf8(out_, c);
    column_ += part.size();
  }
  void end_line() {
    out_ += '\n';
    column_ = 0;
  }
  void wrap(std::size_t indent) {
    end_line();
    pad(indent);
  }

  void text(const std::string& utf8, std::size_t indent, bool split) {
    if (utf8.starts_with(pipeline::dvc::plain_mark)) return put(std::string_view(utf8).substr(1));
    const Text points = code_points(utf8);
    switch (style_of(points, utf8)) {
      case Style::plain: return plain(points, indent, split);
      case Style::single_quoted: return single_quoted(points, indent, split);
      case Style::double_quoted: return double_quoted(points, indent, split);
    }
  }

  // A line is broken at the space after the word that passes its end, and before a word that would; the space
  // before such a word stays where it is.
  void plain(const Text& text, std::size_t indent, bool split) {
    bool spaces = false;
    std::size_t start = 0;
    for (std::size_t end = 0; end <= text.size(); ++end) {
      const bool last = end == text.size();
      const bool space = !last && text[end] == ' ';
      if (spaces) {
        if (!space) {
          if (start + 1 == end && column_ >= width && split) {
            wrap(indent);
          } else {
            put(text.substr(start, end - start));
          }
          start = end;
        }
      } else if (last || space) {
        if (split && end - start + column_ > width && column_ > indent) wrap(indent);
        put(text.substr(start, end - start));
        start = end;
      }
      if (!last) spaces = space;
    }
  }

  void single_quoted(const Text& text, std::size_t indent, bool split) {
    put("'");
    bool spaces = false;
    std::size_t start = 0;
    for (std::size_t end = 0; end <= text.size(); ++end) {
      const bool last = end == text.size();
      const bool space = !last && text[end] == ' ';
      if (spaces) {
        if (!space) {
          if (start + 1 == end && column_ > width && split && start != 0 && !last) {
            wrap(indent);
          } else {
            put(text.substr(start, end - start));
          }
          start = end;
        }
      } else if (last || space) {
        put(text.substr(start, end - start));
        start = end;
      }
      if (!last) spaces = space;
    }
    put("'");
  }

  static std::string escape_of(char32_t c) {
    constexpr std::pair<char32_t, const char*> known[] = {
        {0, "0"},     {7, "a"},    {8, "b"},    {9, "t"},      {10, "n"},
        {11, "v"},    {12, "f"},   {13, "r"},   {0x1B, "e"},   {'"', "\""},
        {'\\', "\\"}, {0x85, "N"}, {0xA0, "_"}, {0x2028, "L"}, {0x2029, "P"}};
    for (const auto& [code, name] : known) {
      if (code == c) return std::string("\\") + name;
    }
    char text[16];
    std::snprintf(text, sizeof text,
                  c <= 0xFF     ? "\\x%02X"
                  : c <= 0xFFFF ? "\\u%04X"
                                : "\\U%08X",
                  static_cast<unsigned>(c));
    return text;
  }

  // Whether a line that ends at `end` must end in a backslash, as the line break alone would not read back as
  // what stood there.
  static bool needs_backslash(const Text& text, std::size_t start, std::size_t end) {
    const std::size_t space = text.find(' ', end);
    if (space == text.npos) return true;
    const std::size_t line_break = text.find('\n', end);
    const std::size_t at = line_break != text.npos && line_break < space ? line_break : space;
    if (at + 1 >= text.size()) return true;
    if (text[at] == '\n' && text[at + 1] != ' ') return true;
    const Text between = text.substr(end, at - end);
    if (between.find('"') != between.npos || between.find('\'') != between.npos) return true;
    if (text[at + 1] == ' ' || text[at + 1] == '\n') return true;
    if (end > 0 && text[end - 1] == ' ' && text[end] == ' ') return true;
    return start == end;
  }

  void double_quoted(const Text& text, std::size_t indent, bool split) {
    put("\"");
    std::size_t start = 0;
    for (std::size_t end = 0; end <= text.size(); ++end) {
      const bool last = end == text.size();
      const char32_t c = last ? 0 : text[end];
      if (last || c == '"' || c == '\\' || c == 0x85 || c == 0x2028 || c == 0x2029 || !is_printable(c)) {
        if (start < end) {
          put(text.substr(start, end - start));
          start = end;
        }
        if (!last) {
          put(escape_of(c));
          start = end + 1;
        }
      }
      if (end == 0 || end + 1 >= text.size() || !(c == ' ' || start >= end) || !split) continue;
      // start may be one beyond end, after an escape.
      const std::size_t pending = start < end ? end - start : 0;
      const std::size_t column = start > end ? column_ - (start - end) : column_ + pending;
      if (column <= width) continue;
      const bool backslash = needs_backslash(text, start, end);
      if (start < end) put(text.substr(start, end - start));
      if (backslash) put("\\");
      if (start < end) start = end;
      wrap(indent);
      if (start < text.size() && text[start] == ' ') {
        if (backslash) {
          put("\\");
        } else {
          ++start;
        }
      }
    }
    put("\"");
  }

  std::string out_;
  std::size_t column_ = 0;
};

}  // namespace

std::string write_yaml(const OrderedJson& value) {
  Writer writer;
  if (value.is_object() && !value.empty()) {
    writer.map_entries(value, 0, false);
  } else if (value.is_array() && !value.empty()) {
    writer.list_items(value, 0, false);
  } else {
    writer.scalar(value, 0);
    return writer.take() + "\n";
  }
  return writer.take();
}

std::string write_yaml_entry(const std::string& key, const OrderedJson& value, std::size_t indent) {
  Writer writer;
  writer.pad(indent);
  writer.entry(key, value, indent);
  return writer.take();
}

}  // namespace mlops::dvc
