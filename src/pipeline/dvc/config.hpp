// What .dvc/config says, as far as it matters here.
#pragma once

#include "pipeline/dvc/context.hpp"
#include "pipeline/dvc/sources.hpp"

#include <string>
#include <vector>

namespace mlops::pipeline::dvc {

struct Config {
  std::string cache_directory;          ///< absolute
  std::vector<std::string> link_types;  ///< reflink, hardlink, symlink, copy: the first that works
  bool use_git = true;                  ///< core.no_scm
  UnpackStyle unpack;
};

/// The user's config, then .dvc/config, then .dvc/config.local below `root`: the later one decides.
Config read_config(const std::string& root, Sources& sources);

/// The directory that holds .dvc, upwards from `directory`; empty if there is none.
std::string find_root(const std::string& directory);

}  // namespace mlops::pipeline::dvc
