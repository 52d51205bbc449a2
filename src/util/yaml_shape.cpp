#include "util/yaml_shape.hpp"

namespace mlops::util {

namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  YamlShape scan() {
    while (!at_end() && !shape_.open) {
      if (at_line_start_) begin_line();
      if (!at_end()) step();
    }
    if (!shape_.open && !brackets_.empty()) shape_.open = brackets_.back();
    while (!at_end()) advance();
    // A line break at the very end begins no line.
    shape_.last_line = text_.ends_with('\n') && line_ > 1 ? line_ - 1 : line_;
    return std::move(shape_);
  }

 private:
  bool at_end() const { return i_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return i_ + ahead < text_.size() ? text_[i_ + ahead] : '\n'; }
  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
  Location here() const { return {line_, static_cast<int>(i_ - line_start_) + 1}; }

  void advance() {
    if (text_[i_++] != '\n') return;
    ++line_;
    line_start_ = i_;
    at_line_start_ = true;
  }

  void begin_line() {
    at_line_start_ = false;
    value_may_begin_ = true;
    after_blank_ = true;
    std::size_t end = i_;
    while (end < text_.size() && (text_[end] == ' ' || text_[end] == '\t')) ++end;
    const std::size_t tab = text_.substr(i_, end - i_).find('\t');
    const bool blank = end == text_.size() || text_[end] == '\n' || text_[end] == '\r' || text_[end] == '#';
    if (tab != std::string_view::npos && !blank && brackets_.empty())
      shape_.tabs.push_back({line_, static_cast<int>(tab) + 1});
    i_ = end;
    indent_ = end - line_start_;
  }

  void step() {
    const char c = peek();
    if (is_blank(c)) {
      after_blank_ = true;
      return advance();
    }
    if (c == '#' && after_blank_) return skip_line();
    after_blank_ = false;
    if (value_may_begin_) return begin_value(c);
    const bool in_flow = !brackets_.empty();
    if (c == ':' && (is_blank(peek(1)) ||
                     (in_flow && std::string_view("[]{},\"'").find(peek(1)) != std::string_view::npos))) {
      value_may_begin_ = true;
    } else if (in_flow && std::string_view("[]{},").find(c) != std::string_view::npos) {
      return bracket(c);
    }
    advance();
  }

  void begin_value(char c) {
    if (c == '"' || c == '\'') return quoted(c);
    if (std::string_view("[]{},").find(c) != std::string_view::npos) return bracket(c);
    if ((c == '|' || c == '>') && brackets_.empty()) return block_text();
    if ((c == '-' || c == '?') && is_blank(peek(1))) {
      if (c == '-' && (peek(2) != '|' && peek(2) != '>')) indent_ = i_ - line_start_ + 2;
      return advance();
    }
    if (c == '&' || c == '*' || c == '!') {  // an anchor, alias or tag; the value comes after it
      while (!is_blank(peek()) && std::string_view("[]{},").find(peek()) == std::string_view::npos) advance();
      return;
    }
    value_may_begin_ = false;
    advance();
  }

  void bracket(char c) {
    if (c == '[' || c == '{') {
      brackets_.push_back({here(), c, {}, 0});
      value_may_begin_ = true;
    } else if (c == ',') {
      value_may_begin_ = true;
    } else {
      value_may_begin_ = false;
      if (!brackets_.empty()) {
        YamlShape::Open& open = brackets_.back();
        if ((open.kind == '[') == (c == ']')) {
          brackets_.pop_back();
        } else {
          open.closer = here();
          open.closer_kind = c;
          shape_.open = open;
        }
      }
    }
    advance();
  }

  void quoted(char quote) {
    const Location begin = here();
    value_may_begin_ = false;
    for (advance(); !at_end(); advance()) {
      if (quote == '"' && peek() == '\\') {
        advance();
        if (at_end()) break;
      } else if (peek() == quote && quote == '\'' && peek(1) == quote) {
        advance();
      } else if (peek() == quote) {
        if (line_ > begin.line) shape_.long_texts.push_back({begin, here()});
        at_line_start_ = false;
        return advance();
      }
    }
    shape_.open = YamlShape::Open{begin, quote, {}, 0};
  }

  void skip_line() {
    while (!at_end() && peek() != '\n') advance();
  }

  // After '|' or '>': lines that are indented deeper than what they belong to, and blank ones.
  void block_text() {
    skip_line();
    while (!at_end()) {
      advance();
      std::size_t end = i_;
      while (end < text_.size() && text_[end] == ' ') ++end;
      if (end < text_.size() && !is_blank(text_[end]) && end - i_ <= indent_) return;
      if (end < text_.size() && text_[end] == '\t' && end - i_ <= indent_) return;
      skip_line();
    }
  }

  std::string_view text_;
  std::size_t i_ = 0;
  std::size_t line_start_ = 0;
  std::size_t indent_ = 0;  // of the key or item at hand
  int line_ = 1;
  bool at_line_start_ = true;
  bool value_may_begin_ = true;  // so that a quote or bracket is one, and no letter of a text
  bool after_blank_ = true;      // so that '#' begins a comment
  std::vector<YamlShape::Open> brackets_;
  YamlShape shape_;
};

}  // namespace

YamlShape shape_of_yaml(std::string_view text) { return Scanner(text).scan(); }

}  // namespace mlops::util
