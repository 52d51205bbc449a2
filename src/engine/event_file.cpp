#include "engine/event_file.hpp"

#include "db/triggers.hpp"
#include "util/digest.hpp"
#include "util/files.hpp"
#include "util/time.hpp"
#include "workspace/layout.hpp"

#include <algorithm>

namespace mlops::engine {

namespace {

constexpr const char* variable = "MLOPS_EVENT";

Json document_of(db::Connection& connection, const EventRecord& event) {
  const auto trigger = db::find_trigger(connection, event.trigger);
  const auto payload = [](const EventRecord& e) { return Json::parse(e.payload, nullptr, false); };
  Json json = {{"id", event.id},
               {"trigger", trigger ? trigger->name : ""},
               {"kind", trigger ? trigger->kind : ""},
               {"pipeline", trigger ? trigger->pipeline : ""},
               {"at", util::format_utc(event.at)},
               {"what", event.what},
               {"payload", payload(event)},
               {"joined", Json::array()}};
  for (const EventRecord& other : db::events_that_joined(connection, event))
    json["joined"].push_back({{"id", other.id},
                              {"at", util::format_utc(other.at)},
                              {"what", other.what},
                              {"payload", payload(other)}});
  return json;
}

bool names_event(const Text& text) {
  return std::ranges::any_of(
      text.parts, [](const Text::Part& part) { return part.literal.find(variable) != std::string::npos; });
}

}  // namespace

void keep_event(db::Connection& connection, std::int64_t fence, const std::string& run_directory) {
  const auto event = db::event_with_fence(connection, fence);
  if (!event) return;
  Json json = document_of(connection, *event);
  util::write_file(layout::in(run_directory, layout::event),
                   json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

RunEvent event_of(const std::string& run_directory) {
  const std::string path = layout::in(run_directory, layout::event);
  const auto text = util::read_file_if_exists(path);
  return text ? RunEvent{path, util::sha256(*text)} : RunEvent{};
}

bool names_event(const Step& step) {
  return std::ranges::any_of(step.command.argv, [](const Text& text) { return names_event(text); }) ||
         std::ranges::any_of(step.env, [](const auto& entry) { return names_event(entry.second); });
}

void add_event(const Step& step, const RunEvent& event, StepFacts& facts) {
  if (!event.path.empty() && names_event(step)) facts.env[variable] = "sha256:" + event.digest;
}

}  // namespace mlops::engine
