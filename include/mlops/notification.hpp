// Door to src/pipeline: who is told how runs end, as a pipeline's file says.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace mlops {

/// What there is to tell: a run failed, the first one after failures succeeded, one is late or will be, a
/// gate said no, or every success.
enum class Occasion { failure, recovery, late, refused, success };

const char* to_string(Occasion occasion);

/// One entry of `notify:`. Checked when the file is read.
struct Notification {
  enum class Kind { webhook, email, command };

  Kind kind = Kind::webhook;
  std::string name;               ///< unique in the file: `name:`, or made of where it goes
  std::vector<Occasion> on;       ///< never empty
  std::string url;                ///< webhook: where to; empty if `secret` has it
  std::string secret;             ///< webhook: the declared secret whose value is the URL
  std::string preset;             ///< webhook: form of the body: json, slack, discord, teams, ntfy
  std::vector<std::string> to;    ///< email
  std::vector<std::string> argv;  ///< command; a single one is a /bin/sh script if `shell`
  bool shell = false;
  std::string text;                    ///< template of the message; empty: the usual words
  std::chrono::milliseconds every{0};  ///< no more than one for each occasion in such a time; 0: no limit
};

}  // namespace mlops
