// The cache of a project of DVC, for whoever does not run the project itself.
#pragma once

#include "dvc/content_cache.hpp"
#include "pipeline/dvc/config.hpp"

#include <string>
#include <vector>

namespace mlops::dvc {

/// What is configured for the project whose .dvc lies in `root`.
pipeline::dvc::Config config_of(const std::string& root);

/// The cache of the project whose .dvc lies in `root`, as its configuration says.
ContentCache cache_of(const std::string& root);

/// If `directory` lies in a project of DVC, makes files of `paths` that are linked to its cache files of
/// their own, for a step of ours to write to.
void unprotect_in_project(const std::string& directory, const std::vector<std::string>& paths);

/// A link in the folder at `path` (absolute) that leads into the cache of the project that it lies in; empty
/// if there is none, or the project has no links of that kind.
std::string link_into_cache(const std::string& path);

}  // namespace mlops::dvc
