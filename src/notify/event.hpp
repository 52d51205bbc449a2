// What there is to tell, and in which words. Pure: all that it needs is given.
#pragma once

#include <mlops/notification.hpp>
#include <mlops/records.hpp>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlops::notify {

struct Event {
  Occasion occasion = Occasion::failure;
  std::string message_id;
  std::string pipeline;
  std::string file;
  std::optional<RunRecord> run;  ///< none: it is about no run
  std::string reason;            ///< why: of the run, or why it is late
  std::string slot;              ///< that the run was for; of lateness, when it was due
  bool ahead = false;            ///< of lateness: it is yet to come
  std::vector<MetricRecord> metrics;
  std::int64_t failures = 0;             ///< in a row, this one among them; of a recovery, those before it
  std::optional<Instant> failing_since;  ///< the first of them
  std::int64_t left_out = 0;             ///< messages like this that were suppressed before it
};

/// One line: "churn failed".
std::string headline(const Event& event);
/// The lines below it, as far as there is something to say.
std::string details(const Event& event);

/// A field of a template, see pipeline/message_template.hpp; empty where it has no value.
std::string field(const Event& event, std::string_view name);

/// Everything, for programs.
nlohmann::json to_json(const Event& event);

}  // namespace mlops::notify
