// .mlops/config.yaml: what a workspace is set up with, fit to be kept in git. Never credentials.
#pragma once

#include <mlops/pipeline.hpp>
#include <mlops/workspace.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace mlops::workspace {

struct RemoteConfig {
  std::string name;
  std::string url;
  std::string endpoint;  ///< of an S3-compatible server; may be empty
  std::string region;    ///< may be empty
};

/// No more than so many in such a time.
struct Rate {
  int times = 0;
  std::chrono::milliseconds period{0};
  std::string text;  ///< as written: "10/m"
};
/// "10/m": a number and a unit (s, m, h, d), or a duration, such as "5/30s".
std::optional<Rate> parse_rate(const std::string& text);

/// What limits the runs of a queue.
struct QueueConfig {
  std::string name;
  int concurrency = 0;  ///< at a time; 0: no limit
  std::optional<Rate> rate;
};

/// The server that takes the mail of notifications.
struct MailConfig {
  std::string url;                 ///< smtps://HOST[:PORT] or smtp://HOST[:PORT]; empty: there is none
  std::string from;                ///< "ml@example.org", or with a name before it in <>
  std::string user;                ///< may be empty
  std::optional<Secret> password;  ///< where it comes from
};

/// Where webhooks of notifications may lead.
struct NotifyConfig {
  std::vector<std::string> allow_private;  ///< networks, or "all"
  std::string proxy;                       ///< asked for all of them; may be empty
};

/// Whom the daemon tells that it is alive.
struct PingConfig {
  std::string url;  ///< empty: nobody
  std::chrono::milliseconds every{5 * 60'000};
  bool operator==(const PingConfig&) const = default;
};

struct Config {
  std::vector<RemoteConfig> remotes;  ///< in the order of their names
  std::string default_remote;         ///< empty: the only one, if there is just one
  int runs = 0;                       ///< at a time, of those that the daemon and workers start; 0: no limit
  std::vector<QueueConfig> queues;    ///< in the order of their names
  MailConfig mail;
  NotifyConfig notify;
  PingConfig ping;

  const RemoteConfig* find(const std::string& name) const;
  const QueueConfig* find_queue(const std::string& name) const;
};

std::string config_path(const Workspace& workspace);

/// Empty where there is no such file. Throws BadFile.
Config read_config(const Workspace& workspace);

/// Writes the file anew, and sees to it that git may take it.
void write_config(const Workspace& workspace, const Config& config);

}  // namespace mlops::workspace
