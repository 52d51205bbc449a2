// /bin/sh is dash, busybox or bash. Where these agree, the scanner follows; where they do not, or where
// following would need a full parser (case inside $(…), a heredoc that begins in $(…) and ends after it), it
// says `unclear`, and the loader asks for the value to be passed by `env:`.
#include "params/shell_context.hpp"

#include "util/strings.hpp"

#include <algorithm>
#include <array>

namespace mlops::params {

ShellContext ShellScanner::at(std::size_t offset) {
  while (pos_ < offset && !unclear_) step();
  if (unclear_) return ShellContext::unclear;
  if (pos_ > offset) return ShellContext::escaped;
  const Frame& frame = frames_.back();
  switch (frame.kind) {
    case Kind::script:
    case Kind::substitution: return ShellContext::word;
    case Kind::single: return ShellContext::single_quotes;
    case Kind::doubled: return ShellContext::double_quotes;
    case Kind::comment: return ShellContext::comment;
    case Kind::heredoc:
      return heredocs_.front().quoted ? ShellContext::quoted_heredoc : ShellContext::heredoc;
    case Kind::backticks: return ShellContext::backticks;
    case Kind::arithmetic: return ShellContext::arithmetic;
    case Kind::braces: return ShellContext::braces;
  }
  return ShellContext::unclear;
}

void ShellScanner::skip_to(std::size_t offset) {
  pos_ = std::max(pos_, offset);
  word_start_ = false;
  line_start_ = false;
}

void ShellScanner::open(Kind kind, std::size_t length, bool quoted) {
  frames_.push_back({kind, 0, quoted});
  pos_ += length;
  word_start_ = kind == Kind::substitution;
  if (frames_.size() > 200) unclear_ = true;
}

void ShellScanner::close(std::size_t length) {
  frames_.pop_back();
  pos_ += length;
  word_start_ = false;
}

void ShellScanner::step() {
  const char c = text_[pos_];
  switch (frames_.back().kind) {
    case Kind::script:
    case Kind::substitution: return step_script(c);
    case Kind::single: return c == '\'' ? close(1) : void(++pos_);
    case Kind::doubled:
      if (c == '\\') return void(pos_ += 2);
      if (c == '"') return close(1);
      return step_expansion(c, true);
    case Kind::comment:
      if (c != '\n') return void(++pos_);
      close(0);
      word_start_ = true;
      return;
    case Kind::backticks: return c == '\\' ? void(pos_ += 2) : c == '`' ? close(1) : void(++pos_);
    case Kind::braces: return step_braces(c);
    case Kind::arithmetic: return step_arithmetic(c);
    case Kind::heredoc: return step_heredoc(c);
  }
}

// `$…` and backticks, which mean the same in and out of double quotes; any other character is passed over.
void ShellScanner::step_expansion(char c, bool quoted) {
  if (c == '`') return open(Kind::backticks, 1);
  if (c == '$') {
    if (next() == '$') return void(pos_ += 2);  // the shell's process id, whatever follows
    // Shells join a line to the next one before they see what `$` begins.
    if (joins(1) || (next() == '(' && joins(2))) unclear_ = true;
    if (next() == '(' && next(2) == '(') return open(Kind::arithmetic, 3);
    if (next() == '(') return open(Kind::substitution, 2);
    if (next() == '{') return open(Kind::braces, 2, quoted);
    if (next() == '[' || (next() == '\'' && !quoted)) unclear_ = true;  // bash: arithmetic, $'…'
  }
  ++pos_;
}

void ShellScanner::step_script(char c) {
  Frame& frame = frames_.back();
  const bool word_start = word_start_;
  word_start_ = false;
  switch (c) {
    case '\\':
      if (joins()) {
        word_start_ = word_start;
        // The two halves might be those of `case`.
        if (!word_start && frame.kind == Kind::substitution) unclear_ = true;
      }
      pos_ += 2;
      return;
    case '\'': return open(Kind::single, 1);
    case '"': return open(Kind::doubled, 1);
    case '`':
    case '$': return step_expansion(c, false);
    case '#':
      if (word_start) return open(Kind::comment, 1);
      break;
    case '<':
      word_start_ = true;
      if (rest().starts_with("<<<")) return void(pos_ += 3);
      if (next() == '<') return begin_heredoc();
      if (joins(1)) unclear_ = true;  // perhaps to another '<'
      break;
    case '\n':
      word_start_ = true;
      if (heredocs_.empty()) break;
      // Shells differ: the here-document may begin now, or after the line on which $(…) ends.
      if (frame.kind == Kind::substitution) unclear_ = true;
      open(Kind::heredoc, 1);
      line_start_ = true;
      return;
    case ' ':
    case '\t':
    case ';':
    case '&':
    case '|':
    case '>': word_start_ = true; break;
    case '(':
      ++frame.parentheses;
      word_start_ = true;
      break;
    case ')':
      if (frame.kind == Kind::substitution && frame.parentheses == 0) {
        if (!heredocs_.empty()) unclear_ = true;
        return close(1);
      }
      --frame.parentheses;
      word_start_ = true;
      break;
    default:
      // The ')' of a case pattern would look like the end of $(…).
      if (word_start && frame.kind == Kind::substitution && rest().starts_with("case") &&
          (next(4) == ' ' || next(4) == '\t' || next(4) == '\n' || next(4) == '\\')) {
        unclear_ = true;
      }
  }
  ++pos_;
}

void ShellScanner::step_braces(char c) {
  const bool quoted = frames_.back().quoted;
  if (c == '}') return close(1);
  if (c == '\\') return void(pos_ += 2);
  if (c == '\'' || c == '"') {
    if (quoted) unclear_ = true;
    return open(c == '"' ? Kind::doubled : Kind::single, 1);
  }
  step_expansion(c, quoted);
}

void ShellScanner::step_arithmetic(char c) {
  Frame& frame = frames_.back();
  if (c == '(') ++frame.parentheses;
  if (c == ')') {
    if (frame.parentheses == 0 && next() == ')') return close(2);
    if (frame.parentheses-- == 0) unclear_ = true;  // it was a subshell in $(…)
  }
  if (c == '\'' || c == '"' || c == '\\' || c == '`' || c == '#') unclear_ = true;
  step_expansion(c, true);
}

void ShellScanner::begin_heredoc() {
  if (frames_.size() > 1) unclear_ = true;
  pos_ += 2;
  Heredoc doc;
  if (pos_ < text_.size() && text_[pos_] == '-') {
    doc.strip_tabs = true;
    ++pos_;
  }
  while (pos_ < text_.size() && (text_[pos_] == ' ' || text_[pos_] == '\t')) ++pos_;
  char quote = 0;
  for (; pos_ < text_.size(); ++pos_) {
    const char c = text_[pos_];
    if (c == '$' || c == '`' || (quote && c == '\n')) break;
    if (quote ? c == quote : c == '\'' || c == '"') {
      quote = quote ? '\0' : c;
      doc.quoted = true;
    } else if (c == '\\') {
      if (quote == '"' || joins()) unclear_ = true;
      doc.quoted = true;
      if (quote) {
        doc.end += c;
      } else if (pos_ + 1 < text_.size()) {
        doc.end += text_[++pos_];
      }
    } else if (!quote && std::string_view(" \t\n;&|<>()").find(c) != std::string_view::npos) {
      break;
    } else {
      doc.end += c;
    }
  }
  if (quote || doc.end.empty() || (pos_ < text_.size() && (text_[pos_] == '$' || text_[pos_] == '`')))
    unclear_ = true;
  word_start_ = false;
  heredocs_.push_back(std::move(doc));
  if (heredocs_.size() > 100) unclear_ = true;
}

void ShellScanner::step_heredoc(char c) {
  const Heredoc& doc = heredocs_.front();
  if (line_start_) {
    line_start_ = false;
    std::string_view line = rest().substr(0, rest().find('\n'));
    const std::size_t length = line.size();
    if (doc.strip_tabs) line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
    if (line == doc.end) {
      heredocs_.erase(heredocs_.begin());
      pos_ = std::min(pos_ + length + 1, text_.size());
      line_start_ = true;
      if (!heredocs_.empty()) return;
      close(0);
      word_start_ = true;
      return;
    }
  }
  // A command in the text might hold the end line, and a backslash might join it to the line before.
  if (!doc.quoted && (c == '`' || (c == '$' && next() == '(') || (c == '\\' && next() == '\n')))
    unclear_ = true;
  if (!doc.quoted && c == '\\') return void(pos_ += 2);
  line_start_ = c == '\n';
  ++pos_;
}

std::string shell_word(std::string_view value) {
  constexpr std::array<std::string_view, 17> reserved = {
      "if",  "then",  "else",  "elif", "fi",   "do",     "done",     "case",  "esac",
      "for", "while", "until", "in",   "time", "select", "function", "coproc"};
  const bool has_meaning =
      value.find('=') != value.npos || std::ranges::find(reserved, value) != reserved.end();
  std::string word = util::shell_quote(value);
  return has_meaning && word.size() == value.size() ? "'" + word + "'" : word;
}

}  // namespace mlops::params
