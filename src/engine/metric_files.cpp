#include "engine/metric_files.hpp"

#include "util/strings.hpp"
#include "util/time.hpp"
#include "util/yaml.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace mlops::engine {

namespace {

using Json = nlohmann::json;
constexpr int max_depth = 64;

std::optional<double> number_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  if (value.is_number()) return value.get<double>();
  return std::nullopt;
}

void add_point(ParsedMetrics& result, std::string name, std::int64_t at, double value,
               std::optional<Instant> time) {
  MetricPoint point{util::to_utf8(name), at, value, time};
  if (!std::isfinite(value)) point.value.reset();
  result.points.push_back(std::move(point));
}

// A tree of numbers; texts and nulls in it are labels, not metrics.
void flatten(const Json& node, const std::string& name, ParsedMetrics& result, int depth = 0) {
  if (depth > max_depth) return;
  const auto join = [&](const std::string& key) { return name.empty() ? key : name + "." + key; };
  if (node.is_object()) {
    for (const auto& [key, child] : node.items()) flatten(child, join(key), result, depth + 1);
  } else if (node.is_array()) {
    for (std::size_t i = 0; i < node.size(); ++i)
      flatten(node[i], join(std::to_string(i)), result, depth + 1);
  } else if (const auto value = number_of(node); value && !name.empty()) {
    add_point(result, name, 0, *value, std::nullopt);
  }
}

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

std::optional<double> parse_number(const std::string& text) {
  const std::string trimmed(util::trim(text));
  if (trimmed.empty()) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(trimmed.c_str(), &end);
  return *end == '\0' ? std::optional(value) : std::nullopt;
}

void parse_table(std::string_view text, char separator, ParsedMetrics& result) {
  std::vector<std::string> header;
  std::size_t step_column = std::string::npos;
  std::int64_t row_number = 0;
  for (const std::string& line : util::split(text, '\n')) {
    if (util::trim(line).empty()) continue;
    const std::vector<std::string> cells = split_row(line, separator);
    if (header.empty()) {
      for (const std::string& cell : cells) header.emplace_back(util::trim(cell));
      for (std::size_t i = 0; i < header.size(); ++i) {
        if (step_column == std::string::npos && (header[i] == "step" || header[i] == "epoch"))
          step_column = i;
      }
      continue;
    }
    std::int64_t at = row_number++;
    if (step_column < cells.size()) {
      if (const auto step = parse_number(cells[step_column]); step && std::abs(*step) < 9e15)
        at = std::llround(*step);
    }
    for (std::size_t i = 0; i < std::min(cells.size(), header.size()); ++i) {
      if (i == step_column || header[i].empty()) continue;
      if (const auto value = parse_number(cells[i])) add_point(result, header[i], at, *value, std::nullopt);
    }
  }
}

}  // namespace

ParsedMetrics parse_metrics_file(const std::string& path, std::string_view text) {
  ParsedMetrics result;
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".csv" || extension == ".tsv") {
    parse_table(text, extension == ".csv" ? ',' : '\t', result);
  } else if (extension == ".yaml" || extension == ".yml") {
    std::vector<Diagnostic> problems;
    const auto root = util::parse_yaml(text, path, problems);
    for (const Diagnostic& problem : problems) result.problems.push_back(to_string(problem));
    if (problems.empty()) flatten(util::to_json(root), "", result);
  } else {
    // Python's json writes NaN and Infinity, which are no JSON.
    Json root = Json::parse(text.begin(), text.end(), nullptr, false);
    if (root.is_discarded()) {
      std::string cleaned(text);
      for (const char* word : {"-Infinity", "Infinity", "NaN"}) {
        const std::string_view w = word;
        for (std::size_t at = cleaned.find(w); at != cleaned.npos; at = cleaned.find(w, at))
          cleaned.replace(at, w.size(), "null");
      }
      root = Json::parse(cleaned, nullptr, false);
    }
    if (root.is_discarded()) {
      result.problems.push_back("'" + path + "' is not valid JSON");
    } else {
      flatten(root, "", result);
    }
  }
  return result;
}

ParsedMetrics parse_metric_lines(std::string_view text) {
  ParsedMetrics result;
  std::size_t number = 0;
  int bad = 0;
  for (const std::string& line : util::split(text, '\n')) {
    ++number;
    if (util::trim(line).empty()) continue;
    const Json entry = Json::parse(line, nullptr, false);
    if (!entry.is_object()) {
      // A line cut short by the death of the step is no cause for a flood of words.
      if (++bad <= 3)
        result.problems.push_back("line " + std::to_string(number) +
                                  " of MLOPS_METRICS is not a JSON object");
      continue;
    }
    std::int64_t at = 0;
    for (const char* key : {"step", "epoch"}) {
      if (const auto it = entry.find(key); it != entry.end() && it->is_number()) {
        const double value = it->get<double>();
        if (std::abs(value) < 9e15) at = std::llround(value);
        break;
      }
    }
    std::optional<Instant> time;
    if (const auto it = entry.find("time"); it != entry.end() && it->is_string())
      time = util::parse_utc(it->get<std::string>());
    const auto name = entry.find("name"), value = entry.find("value");
    if (name != entry.end() && value != entry.end() && name->is_string()) {
      if (const auto v = number_of(*value)) {
        add_point(result, name->get<std::string>(), at, *v, time);
      } else if (value->is_null() || value->is_string()) {
        result.points.push_back({util::to_utf8(name->get<std::string>()), at, std::nullopt, time});
      }
      continue;
    }
    for (const auto& [key, child] : entry.items()) {
      if (key == "step" || key == "epoch" || key == "time") continue;
      if (const auto v = number_of(child)) add_point(result, key, at, *v, time);
    }
  }
  return result;
}

ParsedOutputs parse_outputs(std::string_view text) {
  ParsedOutputs result;
  const std::vector<std::string> lines = util::split(text, '\n');
  constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  const auto good_key = [&](const std::string& key) {
    return !key.empty() && key.size() <= 100 && key.find_first_not_of(letters) == key.npos;
  };
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (util::trim(line).empty()) continue;
    const std::size_t equals = line.find('=');
    const std::size_t here = line.find("<<");
    if (here != line.npos && (equals == line.npos || here < equals) && good_key(line.substr(0, here))) {
      const std::string end(util::trim(line.substr(here + 2)));
      std::string value;
      std::size_t j = i + 1;
      for (; j < lines.size() && lines[j] != end; ++j) value += (j > i + 1 ? "\n" : "") + lines[j];
      if (j == lines.size()) {
        result.problems.push_back("MLOPS_OUTPUT: no line '" + end + "' ends the value of '" +
                                  line.substr(0, here) + "'");
        return result;
      }
      result.values.emplace_back(line.substr(0, here), util::to_utf8(value));
      i = j;
    } else if (equals != line.npos && good_key(line.substr(0, equals))) {
      std::string value = line.substr(equals + 1);
      if (!value.empty() && value.back() == '\r') value.pop_back();
      result.values.emplace_back(line.substr(0, equals), util::to_utf8(value));
    } else {
      result.problems.push_back("MLOPS_OUTPUT: line " + std::to_string(i + 1) + " is not KEY=VALUE");
    }
  }
  return result;
}

}  // namespace mlops::engine
