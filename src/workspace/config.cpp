#include "workspace/config.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"
#include "util/strings.hpp"
#include "util/yaml.hpp"
#include "workspace/layout.hpp"

#include <algorithm>

namespace mlops::workspace {

namespace {

// A JSON string is a YAML one.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class ConfigReader {
 public:
  ConfigReader(std::string file, std::vector<Diagnostic>& problems)
      : file_(std::move(file)), problems_(problems) {}

  Config read(const util::YamlNode& root) {
    Config config;
    if (root.is_null()) return config;
    if (!root.is_map()) {
      complain(root.at, "the file has to be a map", "");
      return config;
    }
    for (const util::YamlEntry& entry : root.entries) {
      if (entry.key == "remotes") {
        read_remotes(entry.value, config);
      } else if (entry.key == "default_remote") {
        config.default_remote = text(entry.value, entry.key);
      } else {
        complain(entry.at, "there is no key '" + entry.key + "' here",
                 util::did_you_mean(entry.key, {"remotes", "default_remote"}));
      }
    }
    if (!config.default_remote.empty() && !config.find(config.default_remote)) {
      complain(root.find("default_remote")->at, "there is no remote '" + config.default_remote + "'",
               "`mlops remote list` shows them");
    }
    return config;
  }

 private:
  void complain(Location at, const std::string& message, const std::string& hint) {
    problems_.push_back({file_, at, message, hint});
  }
  std::string text(const util::YamlNode& node, const std::string& key) {
    if (node.is_scalar()) return node.text;
    complain(node.at, "'" + key + "' has to be a text", "");
    return {};
  }
  void read_remotes(const util::YamlNode& node, Config& config) {
    if (node.is_null()) return;
    if (!node.is_map()) return complain(node.at, "'remotes' has to be a map from names to remotes", "");
    for (const util::YamlEntry& entry : node.entries) {
      RemoteConfig remote;
      remote.name = entry.key;
      if (!entry.value.is_map()) {
        complain(entry.value.at, "a remote has to be a map with a 'url'", "");
        continue;
      }
      for (const util::YamlEntry& part : entry.value.entries) {
        if (part.key == "url") {
          remote.url = text(part.value, part.key);
        } else if (part.key == "endpoint") {
          remote.endpoint = text(part.value, part.key);
        } else if (part.key == "region") {
          remote.region = text(part.value, part.key);
        } else {
          complain(part.at, "a remote has no key '" + part.key + "'",
                   util::did_you_mean(part.key, {"url", "endpoint", "region"}));
        }
      }
      if (remote.url.empty()) complain(entry.at, "the remote '" + entry.key + "' has no 'url'", "");
      config.remotes.push_back(std::move(remote));
    }
    std::ranges::sort(config.remotes, {}, &RemoteConfig::name);
  }

  std::string file_;
  std::vector<Diagnostic>& problems_;
};

}  // namespace

const RemoteConfig* Config::find(const std::string& name) const {
  const auto it = std::ranges::find(remotes, name, &RemoteConfig::name);
  return it == remotes.end() ? nullptr : &*it;
}

std::string config_path(const Workspace& workspace) {
  return layout::in(workspace.state_directory(), layout::config);
}

Config read_config(const Workspace& workspace) {
  const std::string path = config_path(workspace);
  const auto source = util::read_regular_file(path, util::kYamlMaxBytes);
  if (!source) return {};
  std::vector<Diagnostic> problems;
  const std::string shown = workspace.relative(path);
  const util::YamlNode root = util::parse_yaml(*source, shown, problems);
  Config config;
  if (problems.empty()) config = ConfigReader(shown, problems).read(root);
  if (!problems.empty()) throw BadFile(std::move(problems));
  return config;
}

void write_config(const Workspace& workspace, const Config& config) {
  std::string text =
      "# What this workspace is set up with; `mlops remote` writes it. Credentials do not belong here.\n";
  if (config.remotes.empty()) {
    text += "remotes: {}\n";
  } else {
    text += "remotes:\n";
  }
  for (const RemoteConfig& remote : config.remotes) {
    text += "  " + quoted(remote.name) + ":\n    url: " + quoted(remote.url) + "\n";
    if (!remote.endpoint.empty()) text += "    endpoint: " + quoted(remote.endpoint) + "\n";
    if (!remote.region.empty()) text += "    region: " + quoted(remote.region) + "\n";
  }
  if (!config.default_remote.empty()) text += "default_remote: " + quoted(config.default_remote) + "\n";
  util::write_file_atomically(config_path(workspace), text);
  // As long as there was no configuration, git was to see nothing. What somebody wrote by hand stays.
  const std::string ignore = workspace.state_directory() + "/.gitignore";
  if (util::read_file_if_exists(ignore).value_or(layout::all_ignored) == layout::all_ignored)
    util::write_file(ignore, layout::all_but_config_ignored);
}

}  // namespace mlops::workspace
