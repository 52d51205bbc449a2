#include "util/json.hpp"

namespace mlops::util {

using nlohmann::json;

json parse_json(std::string_view text) {
  bool too_deep = false;
  json value = json::parse(
      text,
      [&](int depth, json::parse_event_t, json&) {
        too_deep = too_deep || depth > deepest_json;
        return !too_deep;
      },
      false);
  return too_deep ? json(json::value_t::discarded) : value;
}

}  // namespace mlops::util
