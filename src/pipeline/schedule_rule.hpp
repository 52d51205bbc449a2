// The times of an entry of `schedule:`.
#pragma once

#include <mlops/schedule.hpp>

#include "calendar/fires.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace mlops::pipeline {

/// Time zones that are in use, each read once.
class Zones {
 public:
  /// That of the machine if `name` is empty. Throws Error(usage) for one that this system does not have.
  std::shared_ptr<const calendar::TimeZone> get(const std::string& name);

  /// What those that are in use were read from.
  const std::set<std::string>& files() const { return files_; }
  /// They are read again when they are asked for: their files have changed.
  void forget() { known_.clear(); }

 private:
  std::map<std::string, std::shared_ptr<const calendar::TimeZone>> known_;
  std::set<std::string> files_;
};

/// `pipeline` settles H and ~; `directory` is where the files of `except` are looked for. Throws Error(usage)
/// with what is wrong with the entry, Error(io) when a file of `except` cannot be read.
calendar::Rule rule_of(const Schedule& schedule, const std::string& pipeline, const std::string& directory,
                       Zones& zones);

/// "06:00" as minutes of the day; nothing if it is no such time.
std::optional<std::chrono::minutes> read_time_of_day(std::string_view text);

/// The instants at which clocks show the entry's `deadline`; nothing if it has none.
std::optional<calendar::Rule> deadlines_of(const Schedule& schedule,
                                           std::shared_ptr<const calendar::TimeZone> zone);

/// How much later than its slot a run of the entry starts: less than `schedule.jitter`, always the same.
std::chrono::seconds delay_of(const Schedule& schedule, const std::string& pipeline);

}  // namespace mlops::pipeline
