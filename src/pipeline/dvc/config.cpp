#include "pipeline/dvc/config.hpp"

#include "pipeline/paths.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"

#include <cstdlib>
#include <filesystem>
#include <map>

namespace mlops::pipeline::dvc {

namespace {

// INI as Python's configobj writes it: "cache.dir" -> value.
std::map<std::string, std::string> parse_ini(const std::string& text) {
  std::map<std::string, std::string> values;
  std::string section;
  for (const std::string& raw : util::split(text, '\n')) {
    const std::string_view line = util::trim(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      section = std::string(util::trim(line.substr(1, line.find(']') - 1)));
      continue;
    }
    const std::size_t equals = line.find('=');
    if (equals == line.npos) continue;
    std::string_view value = util::trim(line.substr(equals + 1));
    if (value.size() > 1 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
      value = value.substr(1, value.size() - 2);
    values[section + "." + std::string(util::trim(line.substr(0, equals)))] = std::string(value);
  }
  return values;
}

std::string user_config() {
  if (const char* home = std::getenv("XDG_CONFIG_HOME"); home && *home)
    return std::string(home) + "/dvc/config";
  const char* home = std::getenv("HOME");
  return home ? std::string(home) + "/.config/dvc/config" : "";
}

}  // namespace

std::string find_root(const std::string& directory) {
  for (std::filesystem::path path(directory);; path = path.parent_path()) {
    if (util::is_directory((path / ".dvc").string())) return path.string();
    if (path == path.parent_path()) return {};
  }
}

Config read_config(const std::string& root, Sources& sources) {
  Config config{root + "/.dvc/cache", {"reflink", "copy"}, true, {}};
  for (const std::string& path : {user_config(), root + "/.dvc/config", root + "/.dvc/config.local"}) {
    if (path.empty()) continue;
    const auto text = sources.read(path);
    if (!text) continue;
    const std::string directory = std::filesystem::path(path).parent_path().string();
    for (const auto& [key, value] : parse_ini(*text)) {
      if (key == "cache.dir") {
        config.cache_directory = absolute_path(directory, value);
      } else if (key == "cache.type") {
        config.link_types.clear();
        for (const std::string& type : util::split(value, ','))
          config.link_types.emplace_back(util::trim(type));
      } else if (key == "core.no_scm") {
        config.use_git = !(value == "true" || value == "True" || value == "1");
      } else if (key == "parsing.bool") {
        config.unpack.no_flags = value == "boolean_optional";
      } else if (key == "parsing.list") {
        config.unpack.append_lists = value == "append";
      }
    }
  }
  return config;
}

}  // namespace mlops::pipeline::dvc
