// DVC's run cache, .dvc/cache/runs: what stages with the same command, deps and params have made before.
#pragma once

#include <mlops/dvc.hpp>

#include <optional>
#include <string>
#include <utility>

namespace mlops::dvc {

/// The names under which DVC keeps an entry of dvc.lock: of what went in (with the paths of what came out),
/// and of the whole.
std::pair<std::string, std::string> run_keys(const OrderedJson& entry);

class RunCache {
 public:
  explicit RunCache(std::string cache_directory) : directory_(std::move(cache_directory) + "/runs") {}

  /// The newest entry for what goes in; `entry` has outs with at least their paths.
  std::optional<OrderedJson> find(const OrderedJson& entry) const;

  void save(const OrderedJson& entry) const;

 private:
  std::string directory_;
};

}  // namespace mlops::dvc
