#include "dvc/project_cache.hpp"

#include "pipeline/paths.hpp"

#include <algorithm>
#include <filesystem>

namespace mlops::dvc {

namespace fs = std::filesystem;

pipeline::dvc::Config config_of(const std::string& root) {
  pipeline::dvc::Sources sources(nullptr);
  return pipeline::dvc::read_config(root, sources);
}

ContentCache cache_of(const std::string& root) {
  const pipeline::dvc::Config config = config_of(root);
  return {config.cache_directory, config.link_types};
}

void unprotect_in_project(const std::string& directory, const std::vector<std::string>& paths) {
  const std::string root = paths.empty() ? "" : pipeline::dvc::find_root(directory);
  if (root.empty()) return;
  const std::string cache = cache_of(root).directory();
  for (const std::string& path : paths) unprotect(path, cache);
}

std::string link_into_cache(const std::string& path) {
  const std::string root = pipeline::dvc::find_root(fs::path(path).parent_path().string());
  if (root.empty() || !fs::is_directory(path)) return {};
  const pipeline::dvc::Config config = config_of(root);
  if (std::ranges::find(config.link_types, "symlink") == config.link_types.end()) return {};
  std::error_code error;
  const std::string cache = fs::weakly_canonical(config.cache_directory, error).string();
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code unknown;
    if (!it->is_symlink(unknown)) continue;
    const fs::path target = fs::weakly_canonical(it->path(), unknown);
    if (!unknown && pipeline::lies_in(target.string(), cache)) return it->path().string();
  }
  return {};
}

}  // namespace mlops::dvc
