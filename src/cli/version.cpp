#include <mlops/version.hpp>

#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/database.hpp"
#include "util/digest.hpp"
#include "util/http_client.hpp"
#include "util/log.hpp"
#include "util/toml.hpp"
#include "util/yaml.hpp"

#include <cstdio>

namespace mlops::cli {

namespace {

struct Dependency {
  const char* name;
  std::string version;
};

std::vector<Dependency> dependencies() {
  const std::string json = std::to_string(NLOHMANN_JSON_VERSION_MAJOR) + "." +
                           std::to_string(NLOHMANN_JSON_VERSION_MINOR) + "." +
                           std::to_string(NLOHMANN_JSON_VERSION_PATCH);
  return {{"sqlite", db::sqlite_version_text()},
          {"yaml-cpp", util::yaml_library_version()},
          {"toml++", util::toml_library_version()},
          {"openssl", util::digest_library_version()},
          {"spdlog", util::log_library_version()},
          {"nlohmann-json", json},
          {"cli11", CLI11_VERSION},
          {"libcurl", util::curl_version()},
          {"compiler", __VERSION__}};
}

}  // namespace

void set_up_version(CLI::App& app, Context& context) {
  (void)context;
  auto deps = std::make_shared<bool>(false);
  auto json = std::make_shared<bool>(false);
  app.add_flag("--deps", *deps, "also the versions of the libraries in use");
  app.add_flag("--json", *json, "print JSON");
  app.footer("Examples:\n  mlops version\n  mlops version --deps --json");
  app.callback([deps, json] {
    if (*json) {
      nlohmann::json result = {{"version", version()}, {"schema_version", db::schema_version()}};
      if (*deps) {
        for (const Dependency& d : dependencies()) result["dependencies"][d.name] = d.version;
      }
      return print_json(result);
    }
    std::printf("mlops %s\n", version());
    if (!*deps) return;
    for (const Dependency& d : dependencies()) std::printf("  %-14s %s\n", d.name, d.version.c_str());
  });
}

}  // namespace mlops::cli
