#include "store/s3_credentials.hpp"

#include <mlops/error.hpp>

#include "util/files.hpp"
#include "util/strings.hpp"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

namespace mlops::store {

namespace {

std::string variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value && *value) return value;
  }
  return {};
}

std::string file_from(const char* name, const char* usual) {
  const std::string own = variable({name});
  return own.empty() ? variable({"HOME"}) + usual : own;
}

IniSections read_ini(const std::string& path) {
  const auto text = util::read_regular_file(path, 1 << 20);
  return text ? parse_ini(*text) : IniSections();
}

}  // namespace

IniSections parse_ini(std::string_view text) {
  IniSections sections;
  std::string section;
  for (const std::string& raw : util::split(text, '\n')) {
    const std::string_view line = util::trim(raw);
    // What is indented belongs to the setting before it, as in `s3 =` with settings of its own below.
    const bool nested = !raw.empty() && (raw[0] == ' ' || raw[0] == '\t');
    if (line.empty() || line[0] == '#' || line[0] == ';' || nested) continue;
    if (line[0] == '[') {
      section = std::string(util::trim(line.substr(1, line.find(']') - 1)));
      continue;
    }
    const std::size_t equals = line.find('=');
    if (equals == line.npos) continue;
    std::string key(util::trim(line.substr(0, equals)));
    std::ranges::transform(key, key.begin(), [](unsigned char c) { return std::tolower(c); });
    sections[section][key] = std::string(util::trim(line.substr(equals + 1)));
  }
  return sections;
}

S3Settings find_s3_settings(const std::string& endpoint, const std::string& region) {
  const std::string credentials_file = file_from("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials");
  const std::string config_file = file_from("AWS_CONFIG_FILE", "/.aws/config");
  const std::string named = variable({"AWS_PROFILE", "AWS_DEFAULT_PROFILE"});
  const std::string profile = named.empty() ? "default" : named;
  IniSections credentials = read_ini(credentials_file), config = read_ini(config_file);
  auto& of_config = config[profile == "default" ? profile : "profile " + profile];

  S3Settings settings;
  settings.region = region.empty() ? variable({"AWS_REGION", "AWS_DEFAULT_REGION"}) : region;
  if (settings.region.empty()) settings.region = of_config["region"];
  if (settings.region.empty()) settings.region = "us-east-1";
  settings.endpoint = endpoint.empty() ? variable({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) : endpoint;
  if (settings.endpoint.empty()) settings.endpoint = of_config["endpoint_url"];
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();

  util::AwsCredentials& who = settings.credentials;
  who = {variable({"AWS_ACCESS_KEY_ID"}), variable({"AWS_SECRET_ACCESS_KEY"}),
         variable({"AWS_SESSION_TOKEN"})};
  settings.credentials_from = "the environment";
  if (who.key_id.empty() || who.secret.empty()) {
    for (auto* section : {&credentials[profile], &of_config}) {
      if (!(*section)["aws_access_key_id"].empty() && !(*section)["aws_secret_access_key"].empty()) {
        who = {(*section)["aws_access_key_id"], (*section)["aws_secret_access_key"],
               (*section)["aws_session_token"]};
        settings.credentials_from = "profile '" + profile + "'";
        break;
      }
    }
  }
  if (who.key_id.empty() || who.secret.empty()) {
    throw Error(
        ExitCode::unreachable,
        "there are no credentials for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and '" +
            credentials_file + "' has no keys of profile '" + profile + "'",
        "set the variables, or write a profile with `aws configure`; for other ways to log in: "
        "eval \"$(aws configure export-credentials --format env)\"");
  }
  return settings;
}

}  // namespace mlops::store
