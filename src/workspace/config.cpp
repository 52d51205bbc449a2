#include "workspace/config.hpp"

#include <mlops/error.hpp>

#include "util/addresses.hpp"
#include "util/files.hpp"
#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/web_url.hpp"
#include "util/yaml.hpp"
#include "workspace/layout.hpp"

#include <algorithm>
#include <charconv>

namespace mlops::workspace {

namespace {

// A JSON string is a YAML one.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A whole number of 1 to `most`; 0 if it is none.
int count_of(const std::string& text, int most) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value >= 1 && value <= most ? value : 0;
}

constexpr int most_runs = 10'000, most_times = 1'000'000;

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
      } else if (entry.key == "runs") {
        config.runs = count(entry.value, entry.key);
      } else if (entry.key == "queues") {
        read_queues(entry.value, config);
      } else if (entry.key == "smtp") {
        read_mail(entry.value, config.mail);
      } else if (entry.key == "notify") {
        read_notify(entry.value, config.notify);
      } else if (entry.key == "ping") {
        read_ping(entry.value, config.ping);
      } else {
        complain(entry.at, "there is no key '" + entry.key + "' here",
                 util::did_you_mean(
                     entry.key, {"remotes", "default_remote", "runs", "queues", "smtp", "notify", "ping"}));
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
  int count(const util::YamlNode& node, const std::string& key) {
    const int value = node.is_scalar() ? count_of(node.text, most_runs) : 0;
    if (value == 0)
      complain(node.at, "'" + key + "' has to be a whole number of 1 to " + std::to_string(most_runs), "");
    return value;
  }
  void read_queues(const util::YamlNode& node, Config& config) {
    if (node.is_null()) return;
    if (!node.is_map()) return complain(node.at, "'queues' has to be a map from names to limits", "");
    for (const util::YamlEntry& entry : node.entries) {
      QueueConfig queue;
      queue.name = entry.key;
      if (!entry.value.is_map()) {
        complain(entry.value.at, "a queue has to be a map with 'concurrency' or 'rate'", "");
        continue;
      }
      for (const util::YamlEntry& part : entry.value.entries) {
        if (part.key == "concurrency") {
          queue.concurrency = count(part.value, part.key);
        } else if (part.key == "rate") {
          queue.rate = parse_rate(text(part.value, part.key));
          if (!queue.rate)
            complain(part.value.at, "cannot read the rate '" + part.value.text + "'",
                     "such as 10/m, 2/s, 100/h or 5/30s");
        } else {
          complain(part.at, "a queue has no key '" + part.key + "'",
                   util::did_you_mean(part.key, {"concurrency", "rate"}));
        }
      }
      config.queues.push_back(std::move(queue));
    }
    std::ranges::sort(config.queues, {}, &QueueConfig::name);
  }
  void read_ping(const util::YamlNode& node, PingConfig& ping) {
    if (node.is_null()) return;
    if (!node.is_map())
      return complain(node.at, "'ping' has to be a map with a 'url'", "such as {url: https://…, every: 5m}");
    for (const util::YamlEntry& part : node.entries) {
      if (part.key == "url") {
        ping.url = text(part.value, part.key);
        if (!util::is_web_url(ping.url))
          complain(part.value.at, "the 'url' of 'ping' has to be https://HOST/… or http://HOST/…", "");
      } else if (part.key == "every") {
        const auto every = util::parse_duration(text(part.value, part.key));
        if (every && *every >= std::chrono::seconds(1)) {
          ping.every = *every;
        } else {
          complain(part.value.at, "'every' has to be a second or more", "such as 5m");
        }
      } else if (part.key.find("://") != part.key.npos) {  // which is a secret
        complain(part.at, "'ping' has a URL for a key", "such as {url: https://…, every: 5m}");
      } else {
        complain(part.at, "'ping' has no key '" + part.key + "'",
                 util::did_you_mean(part.key, {"url", "every"}));
      }
    }
    if (ping.url.empty()) complain(node.at, "'ping' has no 'url'", "");
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

  void read_mail(const util::YamlNode& node, MailConfig& mail) {
    if (!node.is_map())
      return complain(node.at, "'smtp' has to be a map",
                      "such as {url: \"smtps://mail.example.org\", from: …}");
    for (const util::YamlEntry& part : node.entries) {
      if (part.key == "url") {
        mail.url = text(part.value, part.key);
        const bool known = mail.url.starts_with("smtp://") || mail.url.starts_with("smtps://");
        if (!known || mail.url.find_first_of("@ ") != mail.url.npos || mail.url.ends_with("://"))
          complain(part.value.at, "'url' has to be smtps://HOST[:PORT] or smtp://HOST[:PORT]",
                   "a user and a password have keys of their own");
      } else if (part.key == "from") {
        mail.from = text(part.value, part.key);
        if (mail.from.find('@') == mail.from.npos)
          complain(part.value.at, "'from' has to be a mail address", "");
      } else if (part.key == "user") {
        mail.user = text(part.value, part.key);
      } else if (part.key == "password") {
        read_password(part.value, mail);
      } else {
        complain(part.at, "smtp has no key '" + part.key + "'",
                 util::did_you_mean(part.key, {"url", "from", "user", "password"}));
      }
    }
    if (mail.url.empty()) complain(node.at, "smtp: 'url' is missing", "");
    if (mail.from.empty()) complain(node.at, "smtp: 'from' is missing", "the address that mail comes from");
    if (mail.password && mail.user.empty()) complain(node.at, "smtp: 'user' is missing", "");
  }

  void read_password(const util::YamlNode& node, MailConfig& mail) {
    constexpr const char* hint =
        "say where it comes from: {env: NAME}, {file: PATH} or {command: [PROGRAM, …]}";
    if (!node.is_map() || node.entries.size() != 1)
      return complain(node.at, "a password does not belong into this file", hint);
    const util::YamlEntry& source = node.entries[0];
    Secret secret{"smtp password", Secret::Source::env, {}};
    if (source.key == "env" || source.key == "file") {
      if (source.key == "file") secret.source = Secret::Source::file;
      secret.from = {text(source.value, source.key)};
    } else if (source.key == "command" && source.value.is_list()) {
      secret.source = Secret::Source::command;
      for (const util::YamlNode& word : source.value.items) secret.from.push_back(text(word, "command"));
    }
    if (secret.from.empty() || secret.from[0].empty())
      return complain(source.at, "cannot read where the password comes from", hint);
    mail.password = std::move(secret);
  }

  void read_notify(const util::YamlNode& node, NotifyConfig& notify) {
    if (!node.is_map()) return complain(node.at, "'notify' has to be a map", "");
    for (const util::YamlEntry& part : node.entries) {
      if (part.key == "allow_private") {
        read_networks(part.value, notify);
      } else if (part.key == "proxy") {
        notify.proxy = text(part.value, part.key);
      } else {
        complain(part.at, "notify has no key '" + part.key + "'",
                 util::did_you_mean(part.key, {"allow_private", "proxy"}));
      }
    }
  }

  void read_networks(const util::YamlNode& node, NotifyConfig& notify) {
    const auto read_one = [&](const util::YamlNode& item) {
      if (!item.is_scalar() || !util::Networks().add(item.text))
        return complain(item.at, "'allow_private' has to be true, or a list of networks",
                        "such as [10.0.0.0/8, 127.0.0.1]");
      notify.allow_private.push_back(item.text);
    };
    if (node.is_scalar() && node.text == "false") return;
    if (node.is_scalar() && node.text == "true") return notify.allow_private.push_back("all");
    if (!node.is_list()) return read_one(node);
    for (const util::YamlNode& item : node.items) read_one(item);
  }

  std::string file_;
  std::vector<Diagnostic>& problems_;
};

std::string list_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + quoted(word);
  return "[" + text + "]";
}

std::string mail_text(const MailConfig& mail) {
  std::string text = "smtp:\n  url: " + quoted(mail.url) + "\n  from: " + quoted(mail.from) + "\n";
  if (!mail.user.empty()) text += "  user: " + quoted(mail.user) + "\n";
  if (!mail.password) return text;
  const bool command = mail.password->source == Secret::Source::command;
  const char* source = mail.password->source == Secret::Source::env ? "env" : command ? "command" : "file";
  return text + "  password: {" + source + ": " +
         (command ? list_text(mail.password->from) : quoted(mail.password->from[0])) + "}\n";
}

std::string notify_text(const NotifyConfig& notify) {
  std::string text = "notify:\n";
  if (!notify.allow_private.empty())
    text +=
        "  allow_private: " + (notify.allow_private[0] == "all" ? "true" : list_text(notify.allow_private)) +
        "\n";
  return notify.proxy.empty() ? text : text + "  proxy: " + quoted(notify.proxy) + "\n";
}

}  // namespace

const RemoteConfig* Config::find(const std::string& name) const {
  const auto it = std::ranges::find(remotes, name, &RemoteConfig::name);
  return it == remotes.end() ? nullptr : &*it;
}

const QueueConfig* Config::find_queue(const std::string& name) const {
  const auto it = std::ranges::find(queues, name, &QueueConfig::name);
  return it == queues.end() ? nullptr : &*it;
}

std::optional<Rate> parse_rate(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos || slash + 1 == text.size()) return std::nullopt;
  const std::string unit = text.substr(slash + 1);
  const bool bare = unit.find_first_of("0123456789") == unit.npos;
  const auto period = util::parse_duration(bare ? "1" + unit : unit);
  const Rate rate{count_of(text.substr(0, slash), most_times), period.value_or(std::chrono::milliseconds(0)),
                  text};
  return rate.times > 0 && rate.period.count() > 0 ? std::optional(rate) : std::nullopt;
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
      "# What this workspace is set up with; `mlops remote` writes remotes. Credentials do not belong "
      "here.\n";
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
  if (config.runs > 0) text += "runs: " + std::to_string(config.runs) + "\n";
  if (!config.queues.empty()) text += "queues:\n";
  for (const QueueConfig& queue : config.queues) {
    text += "  " + quoted(queue.name) + ": {";
    if (queue.concurrency > 0) text += "concurrency: " + std::to_string(queue.concurrency);
    if (queue.rate) text += (queue.concurrency > 0 ? ", rate: " : "rate: ") + quoted(queue.rate->text);
    text += "}\n";
  }
  if (!config.mail.url.empty()) text += mail_text(config.mail);
  if (!config.notify.allow_private.empty() || !config.notify.proxy.empty())
    text += notify_text(config.notify);
  if (!config.ping.url.empty()) {
    text += "ping:\n  url: " + quoted(config.ping.url) +
            "\n  every: " + std::to_string(config.ping.every.count()) + "ms\n";
  }
  util::write_file_atomically(config_path(workspace), text);
  // As long as there was no configuration, git was to see nothing. What somebody wrote by hand stays.
  const std::string ignore = workspace.state_directory() + "/.gitignore";
  if (util::read_file_if_exists(ignore).value_or(layout::all_ignored) == layout::all_ignored)
    util::write_file(ignore, layout::all_but_config_ignored);
}

}  // namespace mlops::workspace
