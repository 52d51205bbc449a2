// Words on the screen: colours only on a terminal, plain and stable text in a pipe, JSON when asked.
#pragma once

#include <mlops/error.hpp>
#include <mlops/records.hpp>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mlops::cli {

/// Colours, or none.
class Style {
 public:
  explicit Style(bool on) : on_(on) {}
  bool on() const { return on_; }
  std::string bold(const std::string& text) const { return wrap("1", text); }
  std::string dim(const std::string& text) const { return wrap("2", text); }
  std::string good(const std::string& text) const { return wrap("32", text); }
  std::string warn(const std::string& text) const { return wrap("33", text); }
  std::string error(const std::string& text) const { return wrap("31", text); }
  std::string accent(const std::string& text) const { return wrap("36", text); }
  std::string of(RunState state, const std::string& text) const;
  std::string of(StepState state, const std::string& text) const;

 private:
  std::string wrap(const char* code, const std::string& text) const {
    return on_ ? std::string("\033[") + code + "m" + text + "\033[0m" : text;
  }
  bool on_;
};

/// Colours if `stream` is a terminal, TERM is not "dumb", and neither NO_COLOR nor --no-color says no;
/// CLICOLOR_FORCE=1 says yes.
Style style_of(std::FILE* stream);
void force_plain();
bool is_terminal(std::FILE* stream);
/// A terminal on which the cursor can be moved, with colours or without.
bool can_redraw(std::FILE* stream);
int terminal_width();  ///< 80 if unknown

/// "1 file", "2 files".
std::string counted(std::uint64_t count, const char* what);

/// Names, paths and messages may hold anything: as text that does no harm to a terminal and stays on its
/// line.
std::string shown(const std::string& text);
/// Likewise, for text of several lines.
std::string shown_lines(const std::string& text);
/// Likewise, its lines one behind the other: "first; second".
std::string in_one_line(const std::string& text);

/// A check of an option's value: an empty one is a variable that is not set, and not as if nothing was
/// asked.
std::string not_empty(const std::string& value);

/// Columns of text; the last column may run on. Cells are printed as shown() has them.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { add(std::move(header)); }
  void right_align(std::size_t column) { right_.push_back(column); }
  void add(std::vector<std::string> row);
  /// `paint` may colour a cell after its width was measured.
  void print(std::FILE* stream,
             const std::function<std::string(std::size_t row, std::size_t column, const std::string&)>&
                 paint = nullptr) const;
  std::size_t rows() const { return rows_.size() - 1; }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> right_;
};

/// Prints to stdout with two-space indentation; ill-formed UTF-8 becomes U+FFFD.
void print_json(const nlohmann::json& value);
nlohmann::json to_json(const RunRecord& run);
nlohmann::json to_json(const StepRecord& step);
nlohmann::json time_json(const std::optional<Instant>& instant);  ///< ISO 8601 with Z, or null

nlohmann::json to_json(const std::vector<Diagnostic>& problems);

/// All problems on stderr, in the order given, with a count and what follows from them.
void print_diagnostics(const std::vector<Diagnostic>& problems, const char* consequence = "");
/// Likewise what is valid and seldom meant.
void print_warnings(const std::vector<Diagnostic>& warnings);

/// A number as people write it: 0.913, 12, 1.2e-05.
std::string format_number(double value);

void enter_directory(const std::string& directory);
std::shared_ptr<CLI::Formatter> make_formatter();

}  // namespace mlops::cli
