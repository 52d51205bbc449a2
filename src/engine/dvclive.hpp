// What DVCLive leaves behind: metrics.json with the last values, plots/metrics/NAME.tsv with their histories.
#pragma once

#include "engine/metric_files.hpp"

#include <optional>
#include <string>

namespace mlops::engine {

/// The directory of DVCLive that a step's file or folder belongs to, if it is one: the folder itself, its
/// metrics.json, or its plots. `path` is absolute.
std::optional<std::string> dvclive_directory(const std::string& path);

/// Histories with their steps, and the last values of metrics that have none. A metric `train/loss` is called
/// train.loss, as in metrics.json.
ParsedMetrics read_dvclive(const std::string& directory);

}  // namespace mlops::engine
