// Webhooks: requests that somebody signs as GitHub does, each of which is an event.
#pragma once

#include <mlops/events.hpp>
#include <mlops/workspace.hpp>

#include "db/database.hpp"
#include "triggers/events.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::triggers {

struct HookRequest {
  std::string name;                            ///< of the hook: the last part of the address
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
};

struct HookAnswer {
  int status = 202;
  Json body = Json::object();
  int retry_after = 0;  ///< seconds; 0: not said
};

/// Whether `signature`, the header X-Hub-Signature-256, is "sha256=" and the HMAC of the body. Takes as long
/// for a wrong one as for the right one.
bool is_signed(std::string_view secret, std::string_view body, std::string_view signature);

/// What tells one delivery from another: the id that its sender gave it, else what it holds.
std::string delivery_key(const HookRequest& request);

class Hooks {
 public:
  /// Both outlive it; it begins with reload(). `say` hears of events and of hooks that cannot be served.
  Hooks(const Workspace& workspace, db::Database& database, std::function<void(const std::string&)> say);

  /// Reads again which hooks there are, and their secrets.
  void reload();

  /// The event is durable when an answer of 202 is returned.
  HookAnswer take(const HookRequest& request);

 private:
  struct Hook {
    TriggerRecord record;
    std::string secret;
    std::string problem;  ///< why it has none
  };
  HookAnswer ask(const HookRequest& request);
  HookAnswer take(const Hook& hook, const HookRequest& request);

  const Workspace& workspace_;
  db::Database& database_;
  Events events_;
  std::function<void(const std::string&)> say_;
  std::vector<Hook> hooks_;
  std::int64_t reloaded_ms_ = 0;
};

}  // namespace mlops::triggers
