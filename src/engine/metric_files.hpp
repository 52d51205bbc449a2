// Metrics as steps write them: `metrics:` files in JSON, YAML, TOML, CSV or Python, and lines in
// MLOPS_METRICS.
#pragma once

#include <mlops/records.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace mlops::engine {

struct ParsedMetrics {
  std::vector<MetricPoint> points;
  std::vector<std::string> problems;  ///< what could not be read, in words; ten at most, then how many more
  bool broken = false;  ///< nothing of the text could be read, and problems[0] says why: a step that wrote
                        ///< such a `metrics:` file has failed
};

/// A metrics file by its extension: .json, .yaml/.yml and .toml hold a tree of numbers (names joined by
/// dots), .py assigns them; .csv and .tsv have a header, one row a point in time, and an optional `step` or
/// `epoch` column. Any other is JSON, or YAML if that holds a map. NaN, infinities and numbers too large for
/// a double are kept as points without a value. A text that is a number is that number.
ParsedMetrics parse_metrics_file(const std::string& path, std::string_view text);

/// JSON lines: {"name": "loss", "value": 0.4, "step": 3, "time": "2026-01-31T12:00:00Z"}; "step" and "time"
/// may be left out. An object without "name" and "value" gives one point per number in it: {"loss": 0.4,
/// "step": 3}. Numbers are read as in files.
ParsedMetrics parse_metric_lines(std::string_view text);

/// MLOPS_OUTPUT: lines KEY=VALUE, or KEY<<END, lines, END for values of several lines.
struct ParsedOutputs {
  std::vector<std::pair<std::string, std::string>> values;
  std::vector<std::string> problems;
};
ParsedOutputs parse_outputs(std::string_view text);

}  // namespace mlops::engine
