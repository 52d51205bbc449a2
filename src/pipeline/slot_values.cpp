#include <mlops/pipeline.hpp>

namespace mlops {

Json to_json(const SlotValues& slot) { return {{"id", slot.id}, {"start", slot.start}, {"end", slot.end}}; }

std::optional<SlotValues> parse_slot_values(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  for (const char* name : {"id", "start", "end"}) {
    if (!json.contains(name) || !json[name].is_string()) return std::nullopt;
  }
  return SlotValues{json["id"], json["start"], json["end"]};
}

}  // namespace mlops
