#include "engine/metric_files.hpp"

#include "pipeline/dvc/params_file.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"
#include "util/yaml.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

namespace mlops::engine {

namespace {

using Json = nlohmann::json;
constexpr int max_depth = 64;
// A step may write whatever it likes: of the one that writes only rubbish, this much is read.
constexpr std::size_t max_problems = 10;
constexpr std::size_t max_bad_lines = 100'000;
constexpr std::size_t max_bad_bytes = 32u << 20;
constexpr std::size_t max_line = 1u << 20;

// The lines of a text, without a copy of it.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  bool next(std::string_view& line) {
    if (done_) return false;
    const std::size_t end = rest_.find('\n');
    line = rest_.substr(0, end);
    done_ = end == rest_.npos;
    if (!done_) rest_.remove_prefix(end + 1);
    ++number_;
    return true;
  }
  std::size_t number() const { return number_; }  // of the line last given, from 1

 private:
  std::string_view rest_;
  std::size_t number_ = 0;
  bool done_ = false;
};

// The first few problems in words, the others as a number.
class Notes {
 public:
  explicit Notes(std::vector<std::string>& list) : list_(list) {}
  ~Notes() {
    if (count_ > max_problems) list_.push_back("and " + std::to_string(count_ - max_problems) + " more");
  }
  Notes(const Notes&) = delete;
  Notes& operator=(const Notes&) = delete;

  // `words` makes the text, which is not needed for most of a flood.
  template <typename Words>
  void add(Words words) {
    if (++count_ <= max_problems) list_.push_back(words());
  }

 private:
  std::vector<std::string>& list_;
  std::size_t count_ = 0;
};

// What is shown of a text that somebody else wrote.
std::string excerpt(std::string_view text) {
  const bool cut = text.size() > 40;
  return "'" + util::escape_controls(util::to_utf8(text.substr(0, 40))) + (cut ? "…'" : "'");
}

// A number in words as programs write them: also nan, inf and numbers beyond what a double holds, which come
// out as not finite.
std::optional<double> parse_number(std::string_view text) {
  text = util::trim(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || text[0] == '+') return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (stop != text.data() + text.size() || error == std::errc::invalid_argument) return std::nullopt;
  // Too large or too small: from_chars does not say which.
  return error == std::errc() ? value : std::strtod(std::string(text).c_str(), nullptr);
}

template <typename Tree>
std::optional<double> number_of(const Tree& value) {
  if (value.is_boolean()) return value.template get<bool>() ? 1.0 : 0.0;
  if (value.is_number()) return value.template get<double>();
  if (value.is_string()) return parse_number(value.template get_ref<const std::string&>());
  return std::nullopt;
}

void add_point(ParsedMetrics& result, const std::string& name, std::int64_t at, double value,
               std::optional<Instant> time) {
  MetricPoint point{util::to_utf8(name), at, value, time};
  if (!std::isfinite(value)) point.value.reset();
  result.points.push_back(std::move(point));
}

// --- JSON as programs write it ----------------------------------------------------------------------

std::size_t end_of_text(std::string_view json, std::size_t quote) {
  for (std::size_t i = quote + 1; i < json.size(); ++i) {
    if (json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      return i + 1;
    }
  }
  return json.size();
}

// What Python's json.dumps and others write outside of strings where JSON has no word for it: NaN, Infinity,
// -Infinity and numbers that no double holds all become the text "NaN". Nothing if there are none of them.
std::optional<std::string> without_odd_numbers(std::string_view json) {
  std::string result;
  std::size_t copied = 0;
  for (std::size_t i = 0; i < json.size();) {
    if (json[i] == '"') {
      i = end_of_text(json, i);
      continue;
    }
    constexpr std::string_view of_words = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.";
    const std::size_t end = std::min(json.find_first_not_of(of_words, i), json.size());
    const std::string_view word = json.substr(i, end - i);
    if (word.empty()) {
      ++i;
      continue;
    }
    const char first = word[word[0] == '-' && word.size() > 1 ? 1 : 0];
    const bool named = word == "NaN" || word == "Infinity" || word == "-Infinity";
    const bool digits = first >= '0' && first <= '9';
    const auto value = digits ? parse_number(word) : std::nullopt;
    if (named || (value && !std::isfinite(*value))) {
      result += json.substr(copied, i - copied);
      result += "\"NaN\"";
      copied = end;
    }
    i = end;
  }
  if (copied == 0) return std::nullopt;
  return result += json.substr(copied);
}

// A tree of numbers; other texts and nulls in it are labels, not metrics.
template <typename Tree>
void flatten(const Tree& node, const std::string& name, ParsedMetrics& result, int depth = 0) {
  if (depth > max_depth) return;
  const auto join = [&](const std::string& key) { return name.empty() ? key : name + "." + key; };
  if (node.is_object()) {
    for (const auto& [key, child] : node.items())
      flatten(child, join(pipeline::dvc::key_text(key)), result, depth + 1);
  } else if (node.is_array()) {
    for (std::size_t i = 0; i < node.size(); ++i)
      flatten(node[i], join(std::to_string(i)), result, depth + 1);
  } else if (const auto value = number_of(node); value && !name.empty()) {
    add_point(result, name, 0, *value, std::nullopt);
  }
}

void refuse(ParsedMetrics& result, std::string problem) {
  result.broken = true;
  result.problems.push_back(std::move(problem));
}

void parse_json_file(const std::string& path, std::string_view text, ParsedMetrics& result) {
  Json root = Json::parse(text, nullptr, false);
  std::optional<std::string> cleaned;
  if (root.is_discarded()) {
    cleaned = without_odd_numbers(text);
    if (cleaned) text = *cleaned;
    try {
      root = Json::parse(text);
    } catch (const Json::exception& error) {
      const auto* place = dynamic_cast<const Json::parse_error*>(&error);
      const std::size_t byte = place ? std::min(place->byte, text.size()) : 0;
      const auto line = std::ranges::count(text.substr(0, byte > 0 ? byte - 1 : 0), '\n') + 1;
      return refuse(result, "'" + path + "' is not valid JSON: see line " + std::to_string(line));
    }
  }
  flatten(root, "", result);
}

void parse_yaml_file(const std::string& path, std::string_view text, ParsedMetrics& result) {
  std::vector<Diagnostic> problems;
  const auto root = util::parse_yaml(text, path, problems);
  if (!problems.empty()) return refuse(result, to_string(problems[0]));
  flatten(util::to_json(root), "", result);
}

// What a name without a known ending stands for: JSON, or a map in YAML.
void parse_unnamed_file(const std::string& path, std::string_view text, ParsedMetrics& result) {
  parse_json_file(path, text, result);
  if (!result.broken) return;
  std::vector<Diagnostic> problems;
  const auto root = util::parse_yaml(text, path, problems);
  if (!problems.empty() || !root.is_map()) return;
  result = {};
  flatten(util::to_json(root), "", result);
}

void parse_toml_or_python(const std::string& path, std::string_view text, ParsedMetrics& result) {
  try {
    flatten(pipeline::dvc::parse_params(text, path), "", result);
  } catch (const BadFile& bad) {
    refuse(result, to_string(bad.problems()[0]));
  }
}

// --- Tables -----------------------------------------------------------------------------------------

std::vector<std::string> split_row(std::string_view row, char separator) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const char c = row[i];
    if (quoted && c == '"' && i + 1 < row.size() && row[i + 1] == '"') {
      cells.back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (c == separator && !quoted) {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back() += c;
    }
  }
  return cells;
}

class TableReader {
 public:
  TableReader(std::string_view text, char separator, ParsedMetrics& result)
      : lines_(text), separator_(separator), result_(result), notes_(result.problems) {}

  void read() {
    std::string_view line;
    while (lines_.next(line)) {
      if (lines_.number() == 1 && line.starts_with("\xEF\xBB\xBF"))
        line.remove_prefix(3);  // as Excel writes it
      if (util::trim(line).empty()) continue;
      if (header_.empty()) {
        read_header(line);
      } else {
        read_row(split_row(line, separator_));
      }
    }
  }

 private:
  void read_header(std::string_view line) {
    for (const std::string& cell : split_row(line, separator_)) header_.emplace_back(util::trim(cell));
    said_.resize(header_.size());
    const auto step = std::ranges::find_if(
        header_, [](const std::string& name) { return name == "step" || name == "epoch"; });
    step_column_ = static_cast<std::size_t>(step - header_.begin());
  }

  void read_row(const std::vector<std::string>& cells) {
    std::int64_t at = rows_++;
    const std::size_t columns = std::min(cells.size(), header_.size());
    if (step_column_ < columns) {
      if (const auto step = number(cells, step_column_); step && std::abs(*step) < 9e15)
        at = std::llround(*step);
    }
    for (std::size_t i = 0; i < columns; ++i) {
      if (i == step_column_ || header_[i].empty()) continue;
      if (const auto value = number(cells, i)) add_point(result_, header_[i], at, *value, std::nullopt);
    }
  }

  // What is no number is told once a column: a column of texts is full of them.
  std::optional<double> number(const std::vector<std::string>& cells, std::size_t column) {
    const auto value = parse_number(cells[column]);
    if (value || said_[column] || util::trim(cells[column]).empty()) return value;
    said_[column] = true;
    notes_.add([&] {
      return "column " + excerpt(header_[column]) + ": " + excerpt(cells[column]) + " on line " +
             std::to_string(lines_.number()) + " is no number";
    });
    return value;
  }

  Lines lines_;
  char separator_;
  ParsedMetrics& result_;
  Notes notes_;
  std::vector<std::string> header_;
  std::vector<bool> said_;  // by column
  std::size_t step_column_ = 0;
  std::int64_t rows_ = 0;
};

// --- Lines in MLOPS_METRICS -------------------------------------------------------------------------

// The values directly in one JSON object; deeper ones are passed over. A tree of them all could be a thousand
// times the size of a line of brackets.
class LineReader final : public Json::json_sax_t {
 public:
  std::vector<std::pair<std::string, Json>> entries;

  const Json* find(std::string_view key) const {
    for (const auto& [name, value] : entries) {
      if (name == key) return &value;
    }
    return nullptr;
  }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return enter(); }
  bool start_array(std::size_t) override { return depth_ > 0 && enter(); }
  bool end_object() override { return --depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& name) override {
    if (depth_ == 1) entries.emplace_back(std::move(name), Json::object());
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool enter() { return ++depth_ <= max_depth; }
  bool add(Json value) {
    if (depth_ == 0) return false;  // not an object
    if (depth_ == 1) entries.back().second = std::move(value);
    return true;
  }
  int depth_ = 0;
};

std::optional<LineReader> read_line(std::string_view line) {
  LineReader reader;
  if (Json::sax_parse(line, &reader)) return reader;
  const auto cleaned = without_odd_numbers(line);
  if (!cleaned) return std::nullopt;
  reader = LineReader();
  if (!Json::sax_parse(*cleaned, &reader)) return std::nullopt;
  return reader;
}

void take_line(const LineReader& line, std::size_t number, ParsedMetrics& result, Notes& notes) {
  std::int64_t at = 0;
  for (const char* key : {"step", "epoch"}) {
    const Json* value = line.find(key);
    if (!value) continue;
    if (const auto step = number_of(*value); step && std::abs(*step) < 9e15) at = std::llround(*step);
    break;
  }
  std::optional<Instant> time;
  if (const Json* value = line.find("time"); value && value->is_string())
    time = util::parse_utc(value->get<std::string>());
  const Json *name = line.find("name"), *value = line.find("value");
  if (name && value && name->is_string()) {
    const auto v =
        value->is_null() ? std::optional(std::numeric_limits<double>::quiet_NaN()) : number_of(*value);
    if (v) return add_point(result, name->get<std::string>(), at, *v, time);
    return notes.add([&] {
      return "line " + std::to_string(number) + " of MLOPS_METRICS: the value of " +
             excerpt(name->get_ref<const std::string&>()) + " is no number";
    });
  }
  for (const auto& [key, child] : line.entries) {
    if (key == "step" || key == "epoch" || key == "time") continue;
    if (const auto v = number_of(child)) add_point(result, key, at, *v, time);
  }
}

void read_lines(std::string_view text, ParsedMetrics& result) {
  Notes notes(result.problems);
  Lines lines(text);
  std::string_view line;
  std::size_t bad_lines = 0, bad_bytes = 0;
  while (lines.next(line)) {
    line = util::trim(line);
    if (line.empty()) continue;
    const bool likely = line.front() == '{' && line.back() == '}' && line.size() <= max_line;
    if (const auto entry = likely ? read_line(line) : std::nullopt) {
      take_line(*entry, lines.number(), result, notes);
      continue;
    }
    notes.add([&] {
      return "line " + std::to_string(lines.number()) + " of MLOPS_METRICS is " +
             (line.size() > max_line ? "longer than 1 MiB" : "not a JSON object");
    });
    bad_bytes += likely ? line.size() : 0;  // others cost next to nothing
    if (++bad_lines < max_bad_lines && bad_bytes < max_bad_bytes) continue;
    result.problems.push_back("MLOPS_METRICS is not read beyond line " + std::to_string(lines.number()) +
                              ": too much of it is not JSON");
    return;
  }
}

// --- Lines in MLOPS_OUTPUT --------------------------------------------------------------------------

void read_outputs(std::string_view text, ParsedOutputs& result) {
  Notes notes(result.problems);
  constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  const auto good_key = [&](std::string_view key) {
    return !key.empty() && key.size() <= 100 && key.find_first_not_of(letters) == key.npos;
  };
  Lines lines(text);
  std::string_view line;
  while (lines.next(line)) {
    if (util::trim(line).empty()) continue;
    const std::size_t equals = line.find('=');
    const std::size_t here = line.find("<<");
    if (here != line.npos && (equals == line.npos || here < equals) && good_key(line.substr(0, here))) {
      const std::string key(line.substr(0, here));
      const std::string end(util::trim(line.substr(here + 2)));
      std::string value;
      bool ended = false;
      for (bool first = true; !ended && lines.next(line); first = false) {
        ended = line == end;
        if (!ended) (value += first ? "" : "\n") += line;
      }
      if (!ended) {
        notes.add([&] { return "MLOPS_OUTPUT: no line '" + end + "' ends the value of '" + key + "'"; });
        return;
      }
      result.values.emplace_back(key, util::to_utf8(value));
    } else if (equals != line.npos && good_key(line.substr(0, equals))) {
      std::string_view value = line.substr(equals + 1);
      if (value.ends_with('\r')) value.remove_suffix(1);
      result.values.emplace_back(line.substr(0, equals), util::to_utf8(value));
    } else {
      notes.add([&] { return "MLOPS_OUTPUT: line " + std::to_string(lines.number()) + " is not KEY=VALUE"; });
    }
  }
}

}  // namespace

ParsedMetrics parse_metrics_file(const std::string& path, std::string_view text) {
  ParsedMetrics result;
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".csv" || extension == ".tsv") {
    TableReader(text, extension == ".csv" ? ',' : '\t', result).read();
  } else if (extension == ".yaml" || extension == ".yml") {
    parse_yaml_file(path, text, result);
  } else if (extension == ".toml" || extension == ".py") {
    parse_toml_or_python(path, text, result);
  } else if (extension == ".json") {
    parse_json_file(path, text, result);
  } else {
    parse_unnamed_file(path, text, result);
  }
  return result;
}

ParsedMetrics parse_metric_lines(std::string_view text) {
  ParsedMetrics result;
  read_lines(text, result);
  return result;
}

ParsedOutputs parse_outputs(std::string_view text) {
  ParsedOutputs result;
  read_outputs(text, result);
  return result;
}

}  // namespace mlops::engine
