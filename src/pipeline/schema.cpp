#include <mlops/pipeline.hpp>

#include "pipeline/keys.hpp"

namespace mlops {

namespace {

using pipeline::Key;
using pipeline::Keys;

// A value that `${…}` may fill in is text in the file, hence the second branch.
Json number_or_reference(const char* type) {
  return {{"oneOf", {{{"type", type}, {"minimum", 0}}, {{"type", "string"}, {"pattern", "^\\$\\{.*\\}$"}}}}};
}

Json object_schema(Keys keys, bool only_defaults = false) {
  Json properties = Json::object();
  for (const Key& key : keys) {
    if (only_defaults && !key.in_defaults) continue;
    Json value = Json::parse(key.schema);
    if (!key.values.empty() && !value.contains("$ref")) value["enum"] = key.values;
    value["description"] = key.description;
    properties[std::string(key.name)] = std::move(value);
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

Json ref(const char* name) { return {{"$ref", std::string("#/$defs/") + name}}; }

Json one_of(Json a, Json b) { return {{"oneOf", Json::array({std::move(a), std::move(b)})}}; }

Json list_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

}  // namespace

Json pipeline_schema() {
  Json defs = Json::object();
  for (const pipeline::KeyTable& table : pipeline::key_tables()) {
    Json schema = object_schema(table.keys);
    schema["description"] = table.description;
    defs[std::string(table.name)] = std::move(schema);
  }
  defs["step"]["required"] = {"run"};
  defs["output"]["required"] = {"path"};
  defs["schedule"]["required"] = {"cron"};
  defs["secret"]["minProperties"] = 1;
  defs["secret"]["maxProperties"] = 1;
  defs["defaults"] = object_schema(pipeline::step_keys(), true);
  defs["scalar"] = {{"type", {"string", "number", "boolean"}}};
  defs["name"] = {{"type", {"string", "number"}}, {"pattern", pipeline::kNamePattern}};
  defs["variable"] = {{"type", "string"}, {"pattern", pipeline::kVariablePattern}};
  defs["texts"] = one_of(ref("scalar"), list_of(ref("scalar")));
  defs["duration"] = {{"type", {"string", "number"}}, {"examples", {"90s", "1h30m", "250ms"}}};
  defs["number"] = number_or_reference("number");
  defs["count"] = number_or_reference("integer");
  defs["variables"] = {{"type", "object"},
                       {"propertyNames", {{"pattern", pipeline::kVariablePattern}}},
                       {"additionalProperties", ref("scalar")}};
  defs["pipeline_env"] = defs["variables"];
  defs["pipeline_env"]["properties"] = {
      {"inherit", {{"type", "boolean"}, {"description", "false: start from an empty environment."}}}};
  defs["outputs"] = one_of(ref("scalar"), list_of(one_of(ref("scalar"), ref("output"))));
  defs["outputs"]["oneOf"].push_back(ref("output"));
  defs["secrets"] = {{"oneOf",
                      {ref("variable"),
                       list_of(ref("variable")),
                       {{"type", "object"},
                        {"propertyNames", {{"pattern", pipeline::kVariablePattern}}},
                        {"additionalProperties", one_of(ref("secret"), {{"type", "null"}})}}}}};
  const Json cause =
      one_of({{"type", "integer"}, {"minimum", 1}, {"maximum", 255}}, {{"enum", pipeline::retry_causes()}});
  defs["retry_on"] = one_of(cause, list_of(cause));

  Json schema = defs["pipeline"];
  defs.erase("pipeline");
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "mlops pipeline";
  schema["required"] = {"steps"};
  schema["$defs"] = std::move(defs);
  return schema;
}

}  // namespace mlops
