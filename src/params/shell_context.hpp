// Where in a /bin/sh script a place lies: a plain word, or inside quotes and the like, where a quoted word
// put there would be taken apart, or its value be run as code.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::params {

enum class ShellContext {
  word,  ///< plain: one quoted word may be put here
  single_quotes,
  double_quotes,
  comment,
  heredoc,
  quoted_heredoc,  ///< <<'EOF': the shell expands nothing
  backticks,
  arithmetic,  ///< $((…))
  braces,      ///< ${name:-…}
  escaped,     ///< after a backslash
  unclear,     ///< shells differ in how they would read on
};

/// Reads a script from left to right. Errs on the side of `unclear`.
class ShellScanner {
 public:
  explicit ShellScanner(std::string_view script) : text_(script) {}

  /// The context at `offset`, which must not lie before an offset asked for earlier.
  ShellContext at(std::size_t offset);

  /// Takes what lies between the last offset and `offset` for a part of a word.
  void skip_to(std::size_t offset);

 private:
  enum class Kind { script, substitution, single, doubled, comment, heredoc, backticks, arithmetic, braces };
  struct Frame {
    Kind kind;
    int parentheses = 0;
    bool quoted = false;  // braces: within double quotes
  };
  struct Heredoc {
    std::string end;
    bool strip_tabs = false;
    bool quoted = false;
  };

  void step();
  void step_script(char c);
  void step_expansion(char c, bool quoted);
  void step_braces(char c);
  void step_arithmetic(char c);
  void step_heredoc(char c);
  void begin_heredoc();
  void open(Kind kind, std::size_t length, bool quoted = false);
  void close(std::size_t length);
  std::string_view rest() const { return text_.substr(pos_); }
  char next(std::size_t n = 1) const { return pos_ + n < text_.size() ? text_[pos_ + n] : '\0'; }
  /// True if a backslash joins the line to the next one, `n` characters on.
  bool joins(std::size_t n = 0) const { return next(n) == '\\' && next(n + 1) == '\n'; }

  std::string_view text_;
  std::size_t pos_ = 0;
  std::vector<Frame> frames_ = {{Kind::script}};
  std::vector<Heredoc> heredocs_;  // begun with <<, their text not yet read to its end
  bool word_start_ = true;
  bool line_start_ = false;  // in the text of a heredoc
  bool unclear_ = false;
};

/// `value` as one word of a script, whatever stands around it: util::shell_quote, and quotes also where a
/// plain word would have a meaning of its own (`if`, `A=b`).
std::string shell_word(std::string_view value);

}  // namespace mlops::params
