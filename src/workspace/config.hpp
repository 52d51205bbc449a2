// .mlops/config.yaml: what a workspace is set up with, fit to be kept in git. Never credentials.
#pragma once

#include <mlops/workspace.hpp>

#include <string>
#include <vector>

namespace mlops::workspace {

struct RemoteConfig {
  std::string name;
  std::string url;
  std::string endpoint;  ///< of an S3-compatible server; may be empty
  std::string region;    ///< may be empty
};

struct Config {
  std::vector<RemoteConfig> remotes;  ///< in the order of their names
  std::string default_remote;         ///< empty: the only one, if there is just one

  const RemoteConfig* find(const std::string& name) const;
};

std::string config_path(const Workspace& workspace);

/// Empty where there is no such file. Throws BadFile.
Config read_config(const Workspace& workspace);

/// Writes the file anew, and sees to it that git may take it.
void write_config(const Workspace& workspace, const Config& config);

}  // namespace mlops::workspace
