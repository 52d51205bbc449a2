#include "engine/dvclive.hpp"

#include "util/files.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

namespace mlops::engine {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t limit = 256u << 20;

bool is_live(const fs::path& directory) {
  return util::exists((directory / "metrics.json").string()) &&
         util::is_directory((directory / "plots" / "metrics").string());
}

std::vector<fs::path> histories_in(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::error_code unreadable;
    if (it->path().extension() == ".tsv" && it->is_regular_file(unreadable)) files.push_back(it->path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::optional<std::string> dvclive_directory(const std::string& path) {
  const fs::path p(path);
  std::vector<fs::path> candidates;
  if (p.filename() == "metrics.json") {
    candidates = {p.parent_path()};
  } else if (p.filename() == "metrics") {
    candidates = {p.parent_path().parent_path()};
  } else if (p.filename() == "plots") {
    candidates = {p.parent_path()};
  }
  candidates.push_back(p);
  for (const fs::path& candidate : candidates) {
    if (is_live(candidate)) return candidate.string();
  }
  return std::nullopt;
}

ParsedMetrics read_dvclive(const std::string& directory) {
  ParsedMetrics result;
  const fs::path root = fs::path(directory) / "plots" / "metrics";
  std::set<std::string> with_history;
  for (const fs::path& file : histories_in(root)) {
    const auto text = util::read_regular_file(file.string(), limit);
    if (!text) continue;
    std::string name = fs::path(file).lexically_relative(root).replace_extension().string();
    std::ranges::replace(name, '/', '.');
    ParsedMetrics parsed = parse_metrics_file(file.string(), *text);
    for (MetricPoint& point : parsed.points) {
      if (point.name == "timestamp") continue;  // a column of its own, where it was asked for
      point.name = name;
      result.points.push_back(std::move(point));
      with_history.insert(name);
    }
    std::ranges::move(parsed.problems, std::back_inserter(result.problems));
  }
  const std::string summary = directory + "/metrics.json";
  if (const auto text = util::read_regular_file(summary, limit)) {
    ParsedMetrics parsed = parse_metrics_file(summary, *text);
    for (MetricPoint& point : parsed.points) {
      if (point.name != "step" && !with_history.contains(point.name))
        result.points.push_back(std::move(point));
    }
    std::ranges::move(parsed.problems, std::back_inserter(result.problems));
  }
  return result;
}

}  // namespace mlops::engine
