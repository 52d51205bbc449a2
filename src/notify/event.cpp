#include "notify/event.hpp"

#include "util/quantity.hpp"
#include "util/strings.hpp"
#include "util/time.hpp"

#include <algorithm>
#include <cmath>

namespace mlops::notify {

namespace {

std::string number_text(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value).dump() : "";
}

std::string time_of(const std::optional<Instant>& instant) {
  return instant ? util::format_local(*instant) : "";
}

Json iso(const std::optional<Instant>& instant) {
  if (!instant) return nullptr;
  std::string text = util::format_utc(*instant);
  text[10] = 'T';
  return text + "Z";
}

std::string duration_of(const RunRecord& run) {
  return run.duration_ms ? util::format_duration(std::chrono::milliseconds(*run.duration_ms)) : "";
}

std::string run_field(const Event& event, std::string_view name) {
  if (name == "reason") return event.reason;
  if (name == "slot") return event.slot;
  if (!event.run) return {};
  const RunRecord& run = *event.run;
  if (name == "id") return run.id;
  if (name == "state") return to_string(run.state);
  if (name == "exit_code") return run.exit_code ? std::to_string(*run.exit_code) : "";
  if (name == "started") return time_of(run.created_at);
  if (name == "ended") return time_of(run.ended_at);
  if (name == "duration") return duration_of(run);
  if (name == "host") return run.host;
  if (name == "user") return run.user;
  return name == "commit" ? run.git_commit.value_or("") : "";
}

std::string counted(std::int64_t n, const char* one, const char* many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

}  // namespace

std::string headline(const Event& event) {
  switch (event.occasion) {
    case Occasion::failure:
      return event.pipeline +
             (event.run && event.run->state == RunState::interrupted ? " was interrupted" : " failed");
    case Occasion::recovery: return event.pipeline + " works again";
    case Occasion::late: return event.pipeline + (event.ahead ? " will be late" : " is late");
    case Occasion::refused: return event.pipeline + " was refused";
    case Occasion::success: break;
  }
  return event.pipeline + " succeeded";
}

std::string details(const Event& event) {
  std::vector<std::string> lines;
  const std::string since = time_of(event.failing_since);
  if (!event.reason.empty()) lines.push_back(event.reason);
  if (event.occasion == Occasion::recovery)
    lines.push_back("after " + counted(event.failures, "failure", "failures") + " since " + since);
  if (event.occasion == Occasion::failure && event.failures > 1)
    lines.push_back(std::to_string(event.failures) + " failures in a row since " + since);
  if (event.run) {
    const RunRecord& run = *event.run;
    lines.push_back("run " + run.id + " on " + run.host +
                    (event.slot.empty() ? "" : " for the slot " + event.slot) + ", " + duration_of(run));
    lines.push_back("mlops show " + run.id);
  }
  if (event.left_out > 0)
    lines.push_back(counted(event.left_out, "message", "messages") + " before this one left out");
  return util::join(lines, "\n");
}

std::string field(const Event& event, std::string_view name) {
  if (name.starts_with("run.")) return run_field(event, name.substr(4));
  if (name.starts_with("metrics.")) {
    const auto found = std::ranges::find(event.metrics, name.substr(8), &MetricRecord::name);
    return found == event.metrics.end() ? "" : number_text(found->value);
  }
  if (name == "occasion") return to_string(event.occasion);
  if (name == "headline") return headline(event);
  if (name == "details") return details(event);
  if (name == "pipeline.name") return event.pipeline;
  if (name == "pipeline.file") return event.file;
  if (name == "failures") return std::to_string(event.failures);
  if (name == "failing_since") return time_of(event.failing_since);
  if (name == "left_out") return std::to_string(event.left_out);
  return name == "message.id" ? event.message_id : "";
}

Json to_json(const Event& event) {
  Json result = {
      {"id", event.message_id},      {"occasion", to_string(event.occasion)},
      {"headline", headline(event)}, {"pipeline", {{"name", event.pipeline}, {"file", event.file}}},
      {"reason", event.reason},      {"slot", event.slot.empty() ? Json() : Json(event.slot)},
      {"failures", event.failures},  {"failing_since", iso(event.failing_since)},
      {"left_out", event.left_out},  {"run", nullptr},
      {"metrics", Json::object()}};
  if (event.run) {
    const RunRecord& run = *event.run;
    result["run"] = {{"id", run.id},
                     {"state", to_string(run.state)},
                     {"exit_code", run.exit_code ? Json(*run.exit_code) : Json()},
                     {"started_at", iso(run.created_at)},
                     {"ended_at", iso(run.ended_at)},
                     {"duration_ms", run.duration_ms ? Json(*run.duration_ms) : Json()},
                     {"host", run.host},
                     {"user", run.user},
                     {"commit", run.git_commit ? Json(*run.git_commit) : Json()}};
  }
  for (const MetricRecord& metric : event.metrics)
    result["metrics"][metric.name] = metric.value ? Json(*metric.value) : Json();
  return result;
}

}  // namespace mlops::notify
