// Whom messages go to, as values and as JSON: what is frozen with a run and kept with each message.
#pragma once

#include <mlops/pipeline.hpp>

#include <optional>
#include <string>
#include <vector>

namespace mlops::notify {

/// An entry of `notify:` with all that it takes to reach whom it names, when the file is gone.
struct Addressee {
  Notification entry;
  std::optional<Secret> secret;  ///< whose value is the URL
  std::vector<Secret> unsaid;    ///< command: the file's secrets, for it may say them when it fails
  std::string directory;         ///< of the file: commands run there, paths of secrets are relative to it
};

std::vector<Addressee> addressees_of(const Pipeline& pipeline);

Json to_json(const Addressee& addressee);
/// What to_json() wrote. Throws Error(io) for anything else.
Addressee read_addressee(const Json& json);

/// Where it goes, for people: a host, addresses, the beginning of a command, the name of a secret.
std::string place_of(const Addressee& addressee);

}  // namespace mlops::notify
