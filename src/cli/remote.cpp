#include "cli/context.hpp"
#include "cli/output.hpp"
#include "db/locations.hpp"
#include "store/objects.hpp"
#include "store/remote_address.hpp"
#include "util/files.hpp"
#include "util/strings.hpp"
#include "workspace/config.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace mlops::cli {

namespace {

struct RemoteOptions {
  std::string name, url, endpoint, region;
  bool make_default = false;
  bool force = false;
  bool json = false;
};

void check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= 64 && std::isalnum(static_cast<unsigned char>(name[0])) &&
                    std::ranges::all_of(name, [](unsigned char c) {
                      return std::isalnum(c) || c == '.' || c == '-' || c == '_';
                    });
  if (!good) {
    throw Error(ExitCode::usage, "cannot call a remote '" + name + "'",
                "use letters, digits, '.', '-' and '_', beginning with a letter or digit");
  }
}

nlohmann::json remote_json(const workspace::RemoteConfig& remote, const workspace::Config& config) {
  const bool is_default = remote.name == config.default_remote || config.remotes.size() == 1;
  return {{"name", remote.name},
          {"url", remote.url},
          {"endpoint", remote.endpoint.empty() ? nlohmann::json() : nlohmann::json(remote.endpoint)},
          {"region", remote.region.empty() ? nlohmann::json() : nlohmann::json(remote.region)},
          {"default", is_default}};
}

// What was remembered of the remote of this name is of the one before.
void forget(const Workspace& workspace, const std::string& name) {
  if (!util::exists(workspace.store_directory() + "/index.db")) return;
  db::Locations(workspace.store_directory() + "/index.db").forget(name);
}

void add(const RemoteOptions& options, const Context& context) {
  check_name(options.name);
  const store::RemoteAddress address =
      store::parse_remote_address(options.url, options.endpoint, options.region);
  bool created = false;
  const Workspace workspace = Workspace::find_or_create(".", context.workspace, created);
  workspace.check_owner();
  workspace::Config config = workspace::read_config(workspace);
  if (const auto* known = config.find(options.name)) {
    if (!options.force) {
      throw Error(ExitCode::usage, "there is a remote '" + options.name + "' already: " + known->url,
                  "replace it with --force, or take another name");
    }
    forget(workspace, options.name);
    std::erase_if(config.remotes, [&](const auto& remote) { return remote.name == options.name; });
  }
  config.remotes.push_back({options.name, address.url, address.endpoint, address.region});
  std::ranges::sort(config.remotes, {}, &workspace::RemoteConfig::name);
  const auto first = std::ranges::find_if(
      config.remotes, [&](const workspace::RemoteConfig& remote) { return remote.name != options.name; });
  const bool second = config.remotes.size() == 2 && config.default_remote.empty();
  if (options.make_default) {
    config.default_remote = options.name;
  } else if (second) {
    // What went to the only one goes on going there.
    config.default_remote = first->name;
  }
  workspace::write_config(workspace, config);
  if (options.json) return print_json({{"remote", remote_json(*config.find(options.name), config)}});
  std::printf("added %s: %s\n", shown(options.name).c_str(), shown(address.url).c_str());
  if (second && !options.make_default) {
    std::printf("  %s stays the one that push, fetch and pull take; --remote %s names this one\n",
                shown(config.default_remote).c_str(), shown(options.name).c_str());
  }
}

void list(const RemoteOptions& options, const Context& context) {
  const Workspace workspace = Workspace::require(".", context.workspace);
  const workspace::Config config = workspace::read_config(workspace);
  if (options.json) {
    nlohmann::json remotes = nlohmann::json::array();
    for (const auto& remote : config.remotes) remotes.push_back(remote_json(remote, config));
    return print_json({{"remotes", remotes}});
  }
  if (config.remotes.empty()) {
    std::printf("no remotes yet: mlops remote add NAME URL\n");
    return;
  }
  Table table({"NAME", "URL"});
  for (const auto& remote : config.remotes) {
    std::string url = shown(remote.url);
    if (!remote.endpoint.empty()) url += " at " + shown(remote.endpoint);
    if (remote.name == config.default_remote && config.remotes.size() > 1) url += " (default)";
    table.add({remote.name, url});
  }
  table.print(stdout);
}

void remove(const RemoteOptions& options, const Context& context) {
  const Workspace workspace = Workspace::require(".", context.workspace);
  workspace.check_owner();
  workspace::Config config = workspace::read_config(workspace);
  if (!config.find(options.name)) {
    std::vector<std::string> names;
    for (const auto& remote : config.remotes) names.push_back(remote.name);
    throw Error(ExitCode::usage, "there is no remote '" + options.name + "'",
                util::did_you_mean(options.name, names));
  }
  std::erase_if(config.remotes, [&](const auto& remote) { return remote.name == options.name; });
  if (config.default_remote == options.name) config.default_remote.clear();
  workspace::write_config(workspace, config);
  forget(workspace, options.name);
  if (options.json) return print_json({{"removed", options.name}});
  std::printf("removed %s; what lies there stays\n", options.name.c_str());
}

}  // namespace

void set_up_remote(CLI::App& app, Context& context) {
  auto options = std::make_shared<RemoteOptions>();
  app.require_subcommand(1);
  auto* add_command = app.add_subcommand("add", "add one: a directory, an account reached by ssh, a bucket");
  add_command->add_option("NAME", options->name, "what to call it")->required();
  add_command
      ->add_option("URL", options->url,
                   "/path, file:///path, ssh://[user@]host[:port]/path or s3://bucket[/prefix]")
      ->required();
  add_command->add_flag("--default", options->make_default, "take it where no remote is named");
  add_command
      ->add_option("--endpoint", options->endpoint, "of an S3-compatible server, e.g. http://host:9000")
      ->type_name("URL");
  add_command->add_option("--region", options->region, "of the bucket")->type_name("REGION");
  add_command->add_flag("-f,--force", options->force, "replace the one of that name");
  auto* list_command = app.add_subcommand("list", "show them");
  auto* rm_command = app.add_subcommand("rm", "forget one; what lies there stays");
  rm_command->add_option("NAME", options->name, "which")->required();
  for (CLI::App* command : {add_command, list_command, rm_command})
    command->add_flag("--json", options->json, "print JSON");
  app.footer(
      "Remotes are kept in .mlops/config.yaml, which may be committed to git. Credentials are not kept: "
      "those for S3\n"
      "come from AWS_ACCESS_KEY_ID and the like, or ~/.aws/credentials; those for ssh from its own files and "
      "agent.\n"
      "Examples:\n  mlops remote add share /mnt/share/churn\n"
      "  mlops remote add box ssh://ml@box.example.org/srv/churn --default\n"
      "  mlops remote add lake s3://team-ml/churn --region eu-central-1\n"
      "  mlops remote add minio s3://churn --endpoint http://minio:9000\n  mlops remote list");
  add_command->footer(
      "Examples:\n  mlops remote add share /mnt/share/churn\n  mlops remote add lake s3://team-ml/churn "
      "--default");
  list_command->footer("Examples:\n  mlops remote list\n  mlops remote list --json");
  rm_command->footer("Examples:\n  mlops remote rm share");
  add_command->callback([options, &context] { add(*options, context); });
  list_command->callback([options, &context] { list(*options, context); });
  rm_command->callback([options, &context] { remove(*options, context); });
}

}  // namespace mlops::cli
