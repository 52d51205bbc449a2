// Sending one message: by HTTP, by mail, by running a command. Blocks, half a minute or so at most.
#pragma once

#include <mlops/outbox.hpp>
#include <mlops/workspace.hpp>

#include "notify/addressee.hpp"
#include "notify/policy.hpp"
#include "util/addresses.hpp"
#include "workspace/config.hpp"

#include <string>

namespace mlops::notify {

/// What a workspace is set up with. May be used by many threads at once.
class Transport {
 public:
  /// A configuration that cannot be read is what every message then fails for, for now.
  explicit Transport(const Workspace& workspace);

  /// `message.attempts` counts this attempt too. What goes wrong is in the outcome, never thrown.
  Outcome send(const Addressee& addressee, const MessageRecord& message) const;

 private:
  Outcome post(const Addressee& addressee, const MessageRecord& message) const;
  Outcome mail(const Addressee& addressee, const MessageRecord& message) const;
  Outcome run(const Addressee& addressee, const MessageRecord& message) const;

  std::string root_;
  workspace::Config config_;
  util::Networks reachable_;
  std::string problem_;  ///< with the configuration
};

}  // namespace mlops::notify
